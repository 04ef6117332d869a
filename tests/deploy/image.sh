#!/usr/bin/env bash
# Runs a built image, and the topology of compose.yaml with it. Fails at the first thing that is wrong, and prints figures.
#
#   docker buildx build -f deploy/Dockerfile -t sse-service . && bash tests/deploy/image.sh
#
# Needs Docker Engine 25 or newer with Compose, curl, and port 8080. IMAGE=… names another image.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${IMAGE:-sse-service}
[ "$image" = sse-service ] || docker tag "$image" sse-service

say() { printf '| %s | %s |\n' "$1" "$2"; }
wrong() { echo "image.sh: $*" >&2; exit 1; }
milliseconds() { local now=${EPOCHREALTIME//[!0-9]/}; echo $((now / 1000)); }
compose() { docker compose --file deploy/compose.yaml "$@"; }
inspect() { docker inspect --format "$1" "$2"; }
# As deploy/container.md recommends.
confined() { docker run --init --read-only --cap-drop ALL --security-opt no-new-privileges "$@"; }
alone=
# The log of what failed, then nothing is left.
finish() {
    local status=$?
    if [ $status != 0 ]; then
        [ -z "$alone" ] || docker logs --tail 20 "$alone" >&2 || true
        compose ps --all >&2 || true
        compose logs --tail 20 >&2 || true
    fi
    [ -z "$alone" ] || docker rm --force "$alone" >/dev/null || true
    [ $status = 0 ] || compose down --timeout 1 >/dev/null 2>&1 || true
}
trap finish EXIT

# ---- What is in it

python() { confined --rm --network none --entrypoint python sse-service "$@"; }
confined --rm --env SSE_JWT_SECRET=not-a-secret-only-for-this-run-0123456789 sse-service token 42 >/dev/null
for module in pip ensurepip; do
    ! python -m "$module" --version 2>/dev/null || wrong "python -m $module works"
done
confined --rm --network none --entrypoint sh sse-service -c 'for name in pip pip3; do ! command -v $name || exit 1; done' || wrong "pip is on PATH"
# Nothing is compiled at a start, and nothing of the service can be changed by its user.
python -c '
import importlib.util, os, sys
import sse_service.task, sse_service.doctor.run, sse_service.brokers.valkey.broker, sse_service.protocols.websocket.endpoint
known = [(name, module.__spec__) for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
slow = [name for name, spec in known if spec.origin and spec.origin.endswith(".py") and not os.path.exists(spec.cached)]
if slow:
    sys.exit(f"compiled at each start: {slow}")
open_ = [path for top, folders, files in os.walk("/venv") for path in (top, *(os.path.join(top, each) for each in files))
         if not os.path.islink(path) and (os.access(path, os.W_OK) or os.stat(path).st_uid != 0)]
if open_:
    sys.exit(f"not owned by root, or writable: {open_[:5]}")
' || wrong "bytecode or permissions"

echo '| measured | |'
echo '|---|---|'
say "size, MB" "$(($(inspect '{{.Size}}' sse-service) / 1000000))"
docker history --no-trunc --format '{{.Size}} {{.CreatedBy}}' sse-service | grep -E '(RUN|COPY) ' | sed -E 's/ (RUN|COPY) /\t\1 /; s/(.{90}).*/\1…/' |
    while IFS=$'\t' read -r size step; do say "layer: \`${step//|/ }\`" "$size"; done

# ---- One container alone, with nothing that it needs: it runs, is not healthy, and ends

# The queue is refused at once: nothing listens.
alone=$(confined --detach --env SSE_JWT_SECRET=not-a-secret-only-for-this-run-0123456789 --env SSE_SINGLE_TASK=true \
    --env AWS_REGION=us-east-1 --env AWS_ACCESS_KEY_ID=test --env AWS_SECRET_ACCESS_KEY=test --env AWS_ENDPOINT_URL=http://127.0.0.1:9 \
    --env SSE_QUEUE_URL=http://127.0.0.1:9/123456789012/events sse-service)
for _ in $(seq 100); do docker logs "$alone" 2>&1 | grep -qF 'listening on' && break; sleep 0.2; done
began=$(milliseconds)
docker stop "$alone" >/dev/null
say "\`docker stop\` where nobody is connected, s" "$(printf '%d.%01d' $((($(milliseconds) - began) / 1000)) $((($(milliseconds) - began) % 1000 / 100)))"
[ "$(inspect '{{.State.ExitCode}}' "$alone")" = 0 ] || wrong "a plain \`docker stop\` killed it"
docker rm "$alone" >/dev/null
alone=

# ---- Two tasks, a load balancer, Valkey and an emulated AWS

# Where no registry can be reached, another version that is on this machine stands in for the one in compose.yaml.
for wanted in $(compose config --images | sort -u); do
    docker image inspect "$wanted" >/dev/null 2>&1 || docker pull --quiet "$wanted" && continue
    found=$(docker image ls --format '{{.Repository}}:{{.Tag}}' "${wanted%:*}" | head -1)
    [ -n "$found" ] || wrong "no $wanted"
    echo "$found stands in for $wanted" >&2
    docker tag "$found" "$wanted"
done
compose up --detach --wait --quiet-pull --no-build
task=$(compose ps --quiet task-1)
inside() { compose exec -T task-1 "$@"; }
# The first answer through the load balancer after `up`.
[ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/readyz)" = 200 ] || wrong "the load balancer answers before the tasks do"
token=$(inside sse-service token 42)
inside sse-service publish --user 42 '{"hello":1}'
# Ends at the event: grep closes the pipe.
{ curl -sN --max-time 30 -H "Authorization: Bearer $token" 'http://127.0.0.1:8080/events?since=all' || true; } | grep -m 1 -F 'data: {"hello":1}' || wrong "the event did not arrive"
inside sse-service doctor || wrong "doctor has found something"

# The first check that succeeded, since the start.
started=$(date +%s%N --date "$(inspect '{{.State.StartedAt}}' "$task")")
healthy=$(docker inspect --format '{{range .State.Health.Log}}{{if eq .ExitCode 0}}{{println (.End.Format "2006-01-02T15:04:05.000Z07:00")}}{{end}}{{end}}' "$task" | head -1)
say "start to healthy, s" "$(awk -v a="$started" -v b="$(date +%s%N --date "$healthy")" 'BEGIN { printf "%.1f", (b - a) / 1e9 }')"
say "memory at rest, as Docker counts it" "$(docker stats --no-stream --format '{{.MemUsage}}' "$task" | cut -d/ -f1)"
# Behind a proxy that nobody runs, which the check must not ask.
check=$(docker image inspect --format '{{json .Config.Healthcheck.Test}}' sse-service)
say "CPU of a health check, s" "$(inside python -c '
import json, resource, subprocess, sys
command = json.loads(sys.argv[1])[1:]
for _ in range(20):
    subprocess.run(command, check=True, env={"PATH": "/venv/bin", "HTTP_PROXY": "http://127.0.0.1:9"})
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{(used.ru_utime + used.ru_stime) / 20:.3f}")' "$check")"

compose stop task-2 2>/dev/null
[ "$(inspect '{{.State.ExitCode}}' "$(compose ps --all --quiet task-2)")" = 0 ] || wrong "the drain's exit status is not 0"
compose up --detach --wait --no-build task-2 2>/dev/null
echo "the image works"
