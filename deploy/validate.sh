#!/usr/bin/env bash
# Checks what is in deploy/ with the tools that are there, and says which checks were skipped for want
# of one. It builds and starts nothing. Exit status: 1 if anything is wrong, 2 if nothing is wrong but
# something was skipped and --strict was given.
#
#   python3 with PyYAML       dashboard, alerts and metric names; the runbook; pins
#   docker compose            or: pip install check-jsonschema
#   kubectl (or kustomize)    renders the manifests; nothing is sent to a cluster
#   kubernetes-validate       pip install kubernetes-validate, which brings its schemas; or kubeconform
#   promtool                  part of Prometheus; Debian package `prometheus`
#   caddy, shellcheck         as packaged
set -uo pipefail
cd "$(dirname "$0")" || exit 1

strict=0
[ "${1:-}" = --strict ] && strict=1
failed=0
skipped=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf 'SKIPPED  %s: %s\n' "$1" "$2"; skipped=$((skipped + 1)); }
# Runs a check; its output is shown when it fails.
check() {
    local what=$1
    shift
    if "$@" >"$scratch/out" 2>&1; then
        printf 'ok       %s\n' "$what"
        grep -h '^note: ' "$scratch/out" | sed 's/^/         /'
    else
        printf 'FAILED   %s\n' "$what"
        sed 's/^/         /' "$scratch/out"
        failed=$((failed + 1))
    fi
}

# ---- Scripts

check "secrets.sh parses" bash -n secrets.sh
if has shellcheck; then
    check "secrets.sh, validate.sh (shellcheck)" shellcheck secrets.sh validate.sh
else
    skip "shellcheck" "not installed"
fi

# ---- Image

skip "building the image" "takes a daemon and minutes: docker build -f deploy/Containerfile ."

# ---- Compose

# Compose asks that the files of secrets exist; a copy with made ones leaves the real ones alone.
cp -r . "$scratch/deploy"
rm -rf "$scratch/deploy/secrets"
check "secrets.sh makes secrets" "$scratch/deploy/secrets.sh"
# What is made must not be made again over it.
check "secrets.sh overwrites nothing" bash -c "! '$scratch/deploy/secrets.sh'"
if has docker && docker compose version >/dev/null 2>&1; then
    check "compose.yaml (docker compose config)" \
        docker compose -f "$scratch/deploy/compose.yaml" --profile monitoring config --quiet
elif has check-jsonschema; then
    check "compose.yaml (schema of the Compose specification)" \
        check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
else
    skip "compose.yaml" "neither docker compose nor check-jsonschema"
fi
if has caddy; then
    check "Caddyfile (caddy validate)" \
        env XDG_DATA_HOME="$scratch" XDG_CONFIG_HOME="$scratch" caddy validate --adapter caddyfile --config Caddyfile
else
    skip "Caddyfile" "caddy is not installed"
fi

# ---- Kubernetes

render() { if has kubectl; then kubectl kustomize "$1"; else kustomize build "$1"; fi; }
if has kubectl || has kustomize; then
    # With the optional component too, which must render although its schema is not checked.
    cp -r kubernetes "$scratch/monitored"
    printf 'components: [monitoring]\n' >>"$scratch/monitored/kustomization.yaml"
    for which in kubernetes "$scratch/monitored"; do
        if render "$which" >"$scratch/$(basename "$which").yaml" 2>"$scratch/error"; then
            printf 'ok       %s renders\n' "$(basename "$which")"
        else
            check "$(basename "$which") renders" sh -c "cat '$scratch/error'; false"
        fi
    done
    cat "$scratch/kubernetes.yaml" >"$scratch/manifests.yaml"
    printf -- '---\n' >>"$scratch/manifests.yaml"
    cat kubernetes/secret.example.yaml >>"$scratch/manifests.yaml"
    if has kubernetes-validate; then
        # The oldest that has all that is used, and a newer one.
        for version in 1.30 1.34; do
            check "manifests (schemas of Kubernetes $version)" \
                kubernetes-validate --strict --kubernetes-version "$version" "$scratch/manifests.yaml"
        done
    elif has kubeconform; then
        check "manifests (kubeconform)" kubeconform -strict -summary "$scratch/manifests.yaml"
    else
        skip "schemas of the manifests" "neither kubernetes-validate nor kubeconform"
    fi
    skip "schema of the PodMonitor" "it is the Prometheus Operator's, not Kubernetes'"
    if has python3 && python3 -c 'import yaml' 2>/dev/null; then
        check "manifests fit each other" python3 validate.py manifests "$scratch/manifests.yaml"
    else
        skip "whether the manifests fit each other" "python3 with PyYAML is not installed"
    fi
else
    skip "manifests" "neither kubectl nor kustomize"
fi

# ---- Metrics

if has python3 && python3 -c 'import yaml' 2>/dev/null; then
    check "every metric of dashboard and alerts is in the sources" python3 validate.py metrics
    check "dashboard: JSON, ids, places" python3 validate.py dashboard
    check "each alert has labels, words and a heading in the runbook" python3 validate.py alerts
    check "versions and settings agree with the sources" python3 validate.py pins
else
    skip "metrics, dashboard, alerts, pins" "python3 with PyYAML is not installed"
fi
if has promtool; then
    check "alerts.yaml (promtool check rules)" promtool check rules prometheus/alerts.yaml
    check "alerts fire and stop (promtool test rules)" promtool test rules prometheus/alerts_test.yaml
    check "prometheus.yaml (promtool check config)" promtool check config prometheus/prometheus.yaml
    if has python3; then
        python3 validate.py queries >"$scratch/queries.yaml"
        check "queries of the dashboard (promtool)" promtool check rules "$scratch/queries.yaml"
    fi
else
    skip "rules, their tests, queries" "promtool is not installed"
fi

printf '%s failed, %s skipped\n' "$failed" "$skipped"
[ "$failed" -gt 0 ] && exit 1
[ "$strict" = 1 ] && [ "$skipped" -gt 0 ] && exit 2
exit 0
