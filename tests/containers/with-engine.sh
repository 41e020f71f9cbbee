#!/usr/bin/env bash
# with-engine.sh COMMAND...: runs it where `docker compose` works: with the engine that is there, or else with one that
# ENGINE brings up for the while. That is a script with the verbs up and down, which writes $STATE/env. Exits with 77 when
# there is no engine to be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ENGINE=${ENGINE:-$here/../../../shared/tools/containers.sh}

none() { echo "no Docker engine: $1" >&2; exit 77; }

if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  exec "$@"
fi
[ -f "$ENGINE" ] || none "none answers, and ENGINE names no script that brings one up"
[ "$(id -u)" = 0 ] || none "none answers, and only root can bring one up"
command -v apt-get >/dev/null || none "none answers, and ENGINE needs a Debian"

STATE=$(mktemp -d /tmp/sluice-engine.XXXXXX)
export STATE
trap 'bash "$ENGINE" down || true' EXIT  # what it ran decides the status
# With the hook, a compose file that reserves a GPU starts, though no GPU appears.
FAKE_GPU=1 bash "$ENGINE" up >&2 || none "$ENGINE up failed"
# shellcheck source=/dev/null
. "$STATE/env"
# That engine has stand-ins under the tags of other people's images, whose digests are not theirs.
tag_of() { sed -n "s,.*\($1:[A-Za-z0-9._-]*\).*,\1,p" "$here/../../$2" | tail -1; }
PROMETHEUS_IMAGE=$(tag_of prom/prometheus docker-compose.yml)
GRAFANA_IMAGE=$(tag_of grafana/grafana docker-compose.yml)
BASE_IMAGE=$(sed -n 's/^ARG BASE_IMAGE=\([^@]*\).*/\1/p' "$here/../../docker/Dockerfile")
export PROMETHEUS_IMAGE GRAFANA_IMAGE BASE_IMAGE
"$@"
