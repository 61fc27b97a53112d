#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts, once: deploy/secrets/ is ignored by git, and what is
# there is never overwritten.
set -euo pipefail
cd "$(dirname "$0")"

if [ -e secrets ]; then
    echo "deploy/secrets is there already; nothing was changed" >&2
    exit 1
fi

random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

postgres=$(random 24)
redis=$(random 24)
key=$(random 8)
secret=$(random 32)

# The folder keeps others on this host out. The files can be read by anybody who sees them, because
# the containers that they are mounted into run as users of their own.
umask 022
mkdir -m 0700 secrets
printf '%s' "$postgres" > secrets/postgres_password
cat > secrets/redis.conf <<CONF
requirepass $redis
CONF
cat > secrets/convoke.toml <<TOML
# The settings of Convoke that are secret. The others are in compose.yaml; what is set there wins.
database_url = "postgres://convoke:$postgres@postgres:5432/convoke"
redis_url = "redis://:$redis@redis:6379/0"
api_keys = "default/$key:$secret"
# With LiveKit, all three:
# livekit_url = "wss://livekit.example"
# livekit_api_key = ""
# livekit_api_secret = ""
TOML
chmod 0444 secrets/*

echo "made deploy/secrets; the API key of the tenant \`default\` is in secrets/convoke.toml"
