#!/bin/sh
# Lints, renders and validates every chart, and checks that unknown values are refused with their name.
# Uses kubeconform and helm-unittest if they are installed. KUBECONFORM_FLAGS says where the schemas are.
set -eu
cd "$(dirname "$0")"

services="directory supernode-coordinator ticket-broker media-forwarder rest-gateway"
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

render() { # render FILE CHART FLAGS...
    file=$1 chart=$2
    shift 2
    helm template astral "$chart" --namespace live "$@" >"$rendered/$file.yaml"
    echo "rendered  $file: $(grep -c '^kind:' "$rendered/$file.yaml") objects"
}

for chart in $services astral; do
    helm lint --quiet --strict "$chart"
    render "$chart" "$chart"
done
everything="--set global.trial.enabled=true --set global.monitoring.podMonitor=true --set global.traces.endpoint=http://collector:4318"
for service in $services; do everything="$everything --set $service.autoscaling.enabled=true"; done
# shellcheck disable=SC2086 # a list of flags
render everything astral $everything --set ticket-broker.ticketKey.existingSecret.name=ticket-key \
    --set directory.streams.existingSecret.name=streams \
    --set global.bus.existingSecret.name=nats --set global.state.existingSecret.name=redis

conform() { # conform FILE...
    # shellcheck disable=SC2086 # a list of flags
    kubeconform -strict -summary -skip PodMonitor ${KUBECONFORM_FLAGS:-} "$@"
}
printf 'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: probe}\n' >"$rendered/probe.yaml"
if ! command -v kubeconform >/dev/null; then
    echo "skipped   kubeconform is not here"
elif ! conform "$rendered/probe.yaml" >/dev/null; then
    echo "skipped   kubeconform finds no schemas: name them in KUBECONFORM_FLAGS"
else
    conform "$rendered"/*.yaml
fi

refused() { # refused NAME CHART FLAGS...: the render fails, and says so by NAME
    name=$1
    shift
    if helm template astral "$@" >/dev/null 2>"$rendered/refusal"; then
        echo "taken, though it is no value: $*" >&2
        exit 1
    fi
    grep -q "$name" "$rendered/refusal" || { cat "$rendered/refusal" >&2; exit 1; }
    echo "refused   $*"
}
for chart in $services; do
    refused replica "$chart" --set replica=3
    refused log-levels "$chart" --set config.log-levels=info
    refused shutdown-grace-seconds "$chart" --set config.shutdown-grace-seconds=soon
    refused "$chart" astral --set "$chart.nodeselector.a=b"
done
refused role media-forwarder --set config.role=leader
refused type rest-gateway --set service.type=Public
refused url astral --set global.bus.url=http://nats
refused tickets astral --set tickets.enabled=true

opens() { # opens PORT ENDPOINT: the network policy lets a service reach its trace collector
    helm template astral directory --show-only templates/component.yaml --set "global.traces.endpoint=$2" |
        awk '/^  egress:/ {egress = 1} /^---/ {egress = 0} egress && /- port:/ {print $3}' | sort -un >"$rendered/ports"
    grep -qx "$1" "$rendered/ports" || { echo "port $1 is not open for $2, but: $(tr '\n' ' ' <"$rendered/ports")" >&2; exit 1; }
    echo "opens     port $1 for $2"
}
opens 4318 http://collector:4318
opens 4318 http://collector:4318/
opens 4318 http://collector:4318/otlp/v2
opens 80 http://collector/otlp/4318
opens 443 https://collector/otlp
opens 8443 https://me:secret@collector.example:8443/otlp
opens 4318 'http://[fd00::1]:4318/otlp'
opens 443 'https://[fd00::1]'

if command -v helm-unittest >/dev/null || helm plugin list 2>/dev/null | grep -q unittest; then
    unittest=$(command -v helm-unittest || echo helm unittest)
    $unittest --strict media-forwarder rest-gateway directory ticket-broker astral
else
    echo "skipped   helm-unittest is not here"
fi
