#!/usr/bin/env bash
# The smoke job of a cluster: a tiny ResNet on real digits, two pods, no bucket and no data to prepare.
#
#   RESNET_KUBECONFIG=FILE tests/smoke.sh [FOLDER]
#
# Works on any cluster that has JobSet and the image: kind's, or the one of `make cluster-up`. Whatever
# happens, FOLDER (default: smoke-logs) gets the manifest, the status and the logs of all hosts; the exit code
# is that of `resnet-launch wait`, or 1 for a run that completed and learned nothing. Taken from the environment
# where they are set:
#
#   RESNET_IMAGE       image of the pods                 localhost/resnet-launch:cpu
#   RESNET_NAMESPACE   where the run goes                the context's
#   RESNET_FLAGS       more flags of `submit`
#   RESNET_TIMEOUT     longest wait                      15m
#   RESNET_ACCURACY    accuracy that the run must reach  0.7 (chance is 0.1)
#   RESNET_LAUNCH      the launcher                      resnet-launch
set -euo pipefail

folder=${1:-smoke-logs}
launch=${RESNET_LAUNCH:-resnet-launch}
least=${RESNET_ACCURACY:-0.7}
name=smoke-$(date +%s)
where=()
[[ -z ${RESNET_KUBECONFIG:-} ]] || where+=(--kubeconfig "$RESNET_KUBECONFIG")
[[ -z ${RESNET_NAMESPACE:-} ]] || where+=(--namespace "$RESNET_NAMESPACE")
read -ra more <<< "${RESNET_FLAGS:-}"
if ! [[ $least =~ ^(0(\.[0-9]+)?|1(\.0+)?)$ ]]; then
  printf 'error: RESNET_ACCURACY: must be a fraction from 0 to 1, got %q\nhint: RESNET_ACCURACY=0.7\n' "$least" >&2
  exit 2
fi

mkdir -p "$folder"

collect() {
  $launch status "$name" "${where[@]}" | tee "$folder/status.txt" || true
  $launch status "$name" --json "${where[@]}" > "$folder/status.json" || true
  $launch logs "$name" "${where[@]}" > "$folder/pods.log" || true
  $launch delete "$name" --yes "${where[@]}" || true
}

# On two cores the control plane of kind and JobSet leave 0.65 of a core to what pods request.
request=(--slice cpu-2x1 --arch resnet-tiny --data digits --name "$name" --grace 10
  --image "${RESNET_IMAGE:-localhost/resnet-launch:cpu}" --steps 100 --set model.width=16
  --set optim.lr=1 --set optim.warmup_steps=10 --set optim.label_smoothing=0
  --cpu 100m --set log.wandb=off "${more[@]}")
$launch render "${request[@]}" > "$folder/manifest.yaml"
$launch submit "${request[@]}" "${where[@]}"
trap collect EXIT
$launch wait "$name" --timeout "${RESNET_TIMEOUT:-15m}" "${where[@]}"
trap - EXIT
collect
python3 - "$folder/status.json" "$least" << 'END'
import json, sys

try:
    accuracy = json.load(open(sys.argv[1]))["evaluation"]["accuracy"]
except (OSError, ValueError, KeyError, TypeError):
    sys.exit(f"error: smoke job: completed, but {sys.argv[1]} has no accuracy\nhint: its logs are beside that file")
if accuracy < float(sys.argv[2]):
    sys.exit(
        f"error: smoke job: accuracy must be at least {sys.argv[2]}, got {accuracy:.3f}\n"
        "hint: after a change of the trainer it learns less; RESNET_ACCURACY sets another bound"
    )
print(f"accuracy {accuracy:.3f}, at least {sys.argv[2]} expected")
END
