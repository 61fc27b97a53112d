"""The checks of validate.sh that no tool at hand does: whether dashboard, alerts, manifests and runbook
agree with each other and with the sources. `validate.py CHECK …`; whatever is wrong is printed, and the
exit status tells. Lines that begin with `note: ` are shown also when nothing is wrong."""

import json
import re
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent
ROOT = DEPLOY.parent

# Metrics that dashboard and alerts use and the sources are still to get. A name goes from here when it
# is there; the check says so.
COMING = {}

wrong = []


def demand(holds, message):
    if not holds:
        wrong.append(message)


def yaml_of(path):
    import yaml

    return list(yaml.safe_load_all(Path(path).read_text()))


def sources():
    """Metrics and their kinds, as the sources record them. Tests do not count."""
    found = {}
    for folder in ("src", "actors"):
        for path in (ROOT / folder).rglob("*.rs"):
            if path.name == "tests.rs" or "tests" in path.relative_to(ROOT).parts:
                continue
            for kind, name in re.findall(r'\b(counter|gauge|histogram)!\(\s*"(convoke_\w+)"', path.read_text()):
                found[name] = kind
    # What is delivered, by mail or as webhooks, is counted alike under names that stand in a table.
    table = (ROOT / "src/outbox/deliverer.rs").read_text()
    for field, name in re.findall(r'(\w+): (?:Some\()?"(convoke_\w+)"', table):
        found[name] = "gauge" if field in ("waiting", "dead") else "counter"
    return found


def panels():
    dashboard = json.loads((DEPLOY / "grafana/convoke.json").read_text())
    return dashboard, dashboard["panels"]


def queries():
    """All of PromQL in here: where it stands, and what it says."""
    dashboard, shown = panels()
    for panel in shown:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']!r}", annotation["expr"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]
    adapter = yaml_of(DEPLOY / "kubernetes/monitoring/adapter.yaml")[0]
    for rule in adapter["rules"]["custom"]:
        yield "adapter.yaml", rule["seriesQuery"]


def rules():
    groups = yaml_of(DEPLOY / "prometheus/alerts.yaml")[0]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics():
    there = sources()
    known = {**COMING, **there}
    for name in sorted(COMING.keys() & there.keys()):
        print(f"note: {name} is in the sources now and can go from the list of those to come")
    used = set()
    for place, expr in queries():
        for name in re.findall(r"\bconvoke_\w+", expr):
            base = re.sub(r"_(sum|count|bucket)$", "", name)
            if known.get(base) == "histogram":
                used.add(base)
                # Without buckets of its own the exporter makes a summary of a histogram.
                demand(not name.endswith("_bucket"), f"{place}: {name}: summaries have no buckets")
                quantile = re.search(re.escape(name) + r"\{[^}]*quantile=", expr)
                demand(name != base or quantile, f"{place}: {name} is a summary and needs a quantile")
                continue
            used.add(name)
            demand(name in known, f"{place}: {name} is neither in the sources nor to come")
            is_rate = re.search(r"(rate|increase)\(" + re.escape(name) + r"\b", expr)
            demand(not is_rate or known.get(name) == "counter", f"{place}: {name} is no counter")
    for name in sorted(COMING.keys() - used):
        wrong.append(f"{name} is to come and nothing uses it")
    for name in sorted(there.keys() - used):
        print(f"note: {name} is recorded and shown nowhere")
    buckets = [path for path in (ROOT / "src").rglob("*.rs") if "set_buckets" in path.read_text()]
    demand(not buckets, f"{buckets} sets buckets: the queries here expect summaries")


def dashboard():
    board, shown = panels()
    ids = [panel["id"] for panel in shown]
    demand(len(ids) == len(set(ids)), "ids of panels are used twice")
    taken = {}
    for panel in shown:
        at = panel["gridPos"]
        demand(at["x"] + at["w"] <= 24, f"{panel['title']!r} is wider than the board")
        for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]:
            demand(cell not in taken, f"{panel['title']!r} lies on {taken.get(cell)!r}")
            taken[cell] = panel["title"]
        if panel["type"] != "row":
            demand(panel.get("description"), f"{panel['title']!r} is not explained")
            demand(panel.get("targets"), f"{panel['title']!r} asks nothing")
    names = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps(board)
    for name in set(re.findall(r"\$\{?([a-z]\w*)", text)):
        demand(name in names, f"the variable {name} is not defined")


def alerts():
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    headings = {re.sub(r"[^\w -]", "", line[2:].strip("# ")).lower().replace(" ", "-")
                for line in runbook.splitlines() if line.startswith("##")}
    names = [rule["alert"] for rule in rules()]
    demand(len(names) == len(set(names)), "two alerts have one name")
    for rule in rules():
        name, notes = rule["alert"], rule["annotations"]
        demand(rule["labels"].get("severity") in ("critical", "warning"), f"{name}: severity")
        for key in ("summary", "description", "runbook"):
            demand(notes.get(key), f"{name} has no {key}")
        place = notes.get("runbook", "").partition("#")[2]
        demand(place in headings, f"{name}: the runbook has no heading #{place}")
        demand(name in runbook, f"{name} is not named in the runbook")
    for link in re.findall(r"\]\(#([\w-]+)\)", runbook):
        demand(link in headings, f"the runbook links to #{link}, which is not there")
    for name in set(re.findall(r"\bConvoke[A-Z]\w+", runbook)):
        demand(name in names, f"the runbook explains {name}, which is no alert")
    # The limit in the alert follows the one that is deployed.
    near = next(rule for rule in rules() if rule["alert"] == "ConvokeSocketsNearLimit")
    limit = int(re.search(r"> (\d+)", near["expr"]).group(1))
    for place in ("kubernetes/convoke.env", "compose.yaml"):
        text = (DEPLOY / place).read_text()
        deployed = int(re.search(r'CONVOKE_CONNECTIONS_MAX[=:] ?"?(\d+)', text).group(1))
        demand(limit == deployed * 8 // 10, f"ConvokeSocketsNearLimit is not 80 % of connections_max in {place}")


def pins():
    cargo = (ROOT / "Cargo.toml").read_text()
    containerfile = (DEPLOY / "Containerfile").read_text()
    rust = re.search(r'rust-version = "([\d.]+)"', cargo).group(1)
    demand(f"ARG RUST_VERSION={rust}\n" in containerfile, f"the Containerfile does not build with Rust {rust}")
    version = re.search(r'\nversion = "([\d.]+)"', cargo).group(1)
    demand(f"ARG VERSION={version}\n" in containerfile, f"the Containerfile is not of version {version}")
    image = yaml_of(DEPLOY / "kubernetes/kustomization.yaml")[0]["images"][0]
    demand(image["newTag"] == version, f"kustomization.yaml is not of version {version}")

    # The server refuses variables that are no settings.
    table = (ROOT / "src/config/settings.rs").read_text()
    settings = {"CONVOKE_" + name.upper() for name in re.findall(r"^        (\w+): [^\n]+;$", table, re.M)}
    demand(len(settings) > 40, "the table of settings could not be read")
    settings.add("CONVOKE_CONFIG")
    for path in ("Containerfile", "compose.yaml", "kubernetes/convoke.env", "kubernetes/deployment.yaml"):
        text = re.sub(r"^ *#(?![A-Z]).*$", "", (DEPLOY / path).read_text(), flags=re.M)
        for name in set(re.findall(r"\bCONVOKE_[A-Z_]+", text)):
            demand(name in settings, f"{path}: {name} is no setting")
    lowercase = {name.removeprefix("CONVOKE_").lower() for name in settings}
    secrets = (DEPLOY / "secrets.sh").read_text() + (DEPLOY / "kubernetes/secret.example.yaml").read_text()
    for name in set(re.findall(r"^ *#? ?([a-z_]+) = \"", secrets, re.M)):
        demand(name in lowercase, f"{name}, given as a secret, is no setting")

    # Whatever is pulled is pulled by version.
    compose = yaml_of(DEPLOY / "compose.yaml")[0]
    for name, service in compose["services"].items():
        pinned = re.search(r":[\w.$-]*\d", service["image"]) or "${IMAGE" in service["image"]
        demand(pinned, f"compose.yaml: the image of {name} is not pinned")
        for key, value in (service.get("environment") or {}).items():
            is_plain = re.search(r"PASSWORD|SECRET|API_KEY", key) and not key.endswith("_FILE")
            demand(not is_plain, f"compose.yaml: {key} of {name} belongs in a file")


def manifests(path):
    """What schemas cannot say: that things find each other."""
    things = [thing for thing in yaml_of(path) if thing]
    one = {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}
    deployment = one["Deployment", "convoke"]["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"].items()
    container = pod["spec"]["containers"][0]

    def chosen(selector):
        return (selector or {}).items() <= labels

    demand("replicas" not in deployment, "the Deployment sets replicas, which are the autoscaler's")
    demand(chosen(deployment["selector"]["matchLabels"]), "the Deployment does not choose its pods")
    demand(chosen(one["Service", "convoke"]["spec"]["selector"]), "the Service does not choose the pods")
    demand(not chosen(one["Service", "convoke-inside-only"]["spec"]["selector"]), "the blind Service chooses pods")
    demand(chosen(one["PodDisruptionBudget", "convoke"]["spec"]["selector"]["matchLabels"]), "the budget chooses no pods")
    policy = one["NetworkPolicy", "convoke"]["spec"]
    demand(chosen(policy["podSelector"]["matchLabels"]), "the policy does not choose the pods")
    names = [peer for rule in policy["egress"] for peer in rule.get("to", [])]
    demand(any(peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"} for peer in names),
           "the policy cuts the pods off from DNS")
    for spread in pod["spec"]["topologySpreadConstraints"]:
        demand(chosen(spread["labelSelector"]["matchLabels"]), "a spread constraint chooses no pods")
    scaled = one["HorizontalPodAutoscaler", "convoke"]["spec"]
    demand(("Deployment", scaled["scaleTargetRef"]["name"]) in one, "the autoscaler has no target")
    demand(scaled["minReplicas"] > one["PodDisruptionBudget", "convoke"]["spec"]["maxUnavailable"],
           "the budget lets all pods go")
    for source in container["envFrom"]:
        demand(("ConfigMap", source["configMapRef"]["name"]) in one, "the ConfigMap is not there")
    for volume in pod["spec"]["volumes"]:
        demand("secret" not in volume or ("Secret", volume["secret"]["secretName"]) in one, "the Secret is not there")
    demand(pod["spec"].get("enableServiceLinks") is False, "service links put variables into the environment that are no settings")
    ingress = one["Ingress", "convoke"]["spec"]["rules"][0]["http"]["paths"]
    to = {path["path"]: path["backend"]["service"]["name"] for path in ingress}
    demand(to["/"] == "convoke", "the Ingress does not lead to the Service")
    for path in ("/metrics", "/healthz", "/readyz"):
        demand(to[path] == "convoke-inside-only", f"{path} is open to the world")

    # preStop, up to 20 s to hand over, requests in flight: it has to fit.
    config = next(thing for (kind, _), thing in one.items() if kind == "ConfigMap")["data"]
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + 20 + int(config.get("CONVOKE_SHUTDOWN_S", 1))
    demand(pod["spec"]["terminationGracePeriodSeconds"] >= needed, f"the grace period is shorter than {needed} s")
    demand(deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}, "a roll-out takes capacity away")
    demand(container["livenessProbe"]["httpGet"]["path"] == "/healthz", "liveness must not depend on the database")
    demand(container["readinessProbe"]["httpGet"]["path"] == "/readyz", "readiness is /readyz")
    demand(container["readinessProbe"]["timeoutSeconds"] > 2, "readiness needs more than the 2 s that the database is given")


def queries_as_rules():
    """The dashboard's queries in the form of recording rules, for promtool to parse."""
    stands_for = {"$__rate_interval": "1m", "$job": "convoke", "$node": ".*"}
    written = []
    _, shown = panels()
    for panel in shown:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name, value in stands_for.items():
                expr = expr.replace(name, value)
            written.append({"record": f"panel:{panel['id']}_{target['refId']}", "expr": expr})
    print(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}, indent=1))


CHECKS = {
    "metrics": metrics,
    "dashboard": dashboard,
    "alerts": alerts,
    "pins": pins,
    "manifests": manifests,
    "queries": queries_as_rules,
}

if __name__ == "__main__":
    CHECKS[sys.argv[1]](*sys.argv[2:])
    for message in wrong:
        print(message)
    sys.exit(bool(wrong))
