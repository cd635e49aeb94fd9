#!/usr/bin/env bash
# The smoke job of a cluster: a tiny ResNet on real digits, two pods, no bucket and no data to prepare.
#
#   RESNET_KUBECONFIG=FILE tests/smoke.sh [FOLDER]
#
# Works on any cluster that has JobSet and the image: kind's, or the one of `make cluster-up`. Whatever
# happens, FOLDER (default: smoke-logs) gets the manifest, the status and the logs of all hosts; the exit code
# is that of `resnet-launch wait`. Taken from the environment where they are set:
#
#   RESNET_IMAGE       image of the pods         localhost/resnet-launch:cpu
#   RESNET_NAMESPACE   where the run goes        the context's
#   RESNET_FLAGS       more flags of `submit`
#   RESNET_TIMEOUT     longest wait              15m
#   RESNET_LAUNCH      the launcher              resnet-launch
set -euo pipefail

folder=${1:-smoke-logs}
launch=${RESNET_LAUNCH:-resnet-launch}
name=smoke-$(date +%s)
where=()
[[ -z ${RESNET_KUBECONFIG:-} ]] || where+=(--kubeconfig "$RESNET_KUBECONFIG")
[[ -z ${RESNET_NAMESPACE:-} ]] || where+=(--namespace "$RESNET_NAMESPACE")
read -ra more <<< "${RESNET_FLAGS:-}"

mkdir -p "$folder"

collect() {
  $launch status "$name" "${where[@]}" | tee "$folder/status.txt" || true
  $launch status "$name" --json "${where[@]}" > "$folder/status.json" || true
  $launch logs "$name" "${where[@]}" > "$folder/pods.log" || true
  $launch delete "$name" --yes "${where[@]}" || true
}

request=(--slice cpu-2x1 --arch resnet-tiny --data digits --name "$name" --grace 10
  --image "${RESNET_IMAGE:-localhost/resnet-launch:cpu}" --steps 100 --set model.width=8
  --set log.wandb=off "${more[@]}")
$launch render "${request[@]}" > "$folder/manifest.yaml"
$launch submit "${request[@]}" "${where[@]}"
trap collect EXIT
$launch wait "$name" --timeout "${RESNET_TIMEOUT:-15m}" "${where[@]}"
