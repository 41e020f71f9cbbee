#!/usr/bin/env bash
# Everything that can be said about the image, the compose files and the rules without starting them. $1: a venv's bin.
set -euo pipefail
bin=$1
cd "$(dirname "$0")/../.."
prometheus=${PROMETHEUS_IMAGE:-$(sed -n 's/^ *image: .*\(prom\/prometheus:[^}]*\)}/\1/p' docker-compose.yml)}

promtool() { docker run --rm --network none --entrypoint promtool -v "$PWD:/src:ro" -w "$1" "$prometheus" "${@:2}"; }

set -x
"$bin/hadolint" docker/Dockerfile
"$bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.gpu.yml
docker compose config --quiet
docker compose -f docker-compose.yml -f docker-compose.gpu.yml config --quiet
promtool /src/docker/prometheus check config --syntax-only prometheus.yml
promtool /src/docker/prometheus check rules rules.yml
promtool /src/tests/containers test rules rules_test.yml
