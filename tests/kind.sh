#!/usr/bin/env bash
# From nothing to a smoke job on a kind cluster: image, cluster, JobSet, platform chart, smoke job, `helm test`.
#
#   tests/kind.sh [FOLDER]
#   tests/kind.sh --check     only look whether all of it is there
#
# It needs docker, kind 0.27 or newer, kubectl, helm and resnet-launch (docs/guides/install-kind.md). FOLDER (default: smoke-logs) gets the
# smoke job's logs and, if a step fails, the state of the cluster. The cluster is deleted at the end; your
# kubeconfig is not touched. Behind a proxy set HTTPS_PROXY, for another package index PIP_INDEX_URL and
# UV_DEFAULT_INDEX. Taken from the environment where they are set:
#
#   RESNET_IMAGE        image of the pods                               localhost/resnet-launch:cpu
#   RESNET_ARCHIVE      archive that holds it, instead of docker build
#   RESNET_BUILD_FLAGS  more flags of docker build
#   RESNET_KIND_NAME    name of the cluster                             resnet-smoke
#   RESNET_KIND_NODE    image of its node                               kind's own
#   RESNET_LOAD         more images to load into the node: names in Docker, or archives
#   RESNET_JOBSET       manifests of JobSet, a file or URL              the release that is tested here
#   RESNET_DISK         GB that must be free where Docker stores        8
#   RESNET_KEEP         1: keep the cluster
#
# and what tests/smoke.sh takes: RESNET_FLAGS, RESNET_TIMEOUT, RESNET_ACCURACY, RESNET_LAUNCH.
set -euo pipefail

JOBSET=v0.12.0
folder=${1:-smoke-logs}
[[ $folder == /* ]] || folder=$PWD/$folder
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch=${RESNET_LAUNCH:-resnet-launch}
image=${RESNET_IMAGE:-localhost/resnet-launch:cpu}
cluster=${RESNET_KIND_NAME:-resnet-smoke}
jobset=${RESNET_JOBSET:-https://github.com/kubernetes-sigs/jobset/releases/download/$JOBSET/manifests.yaml}
disk=${RESNET_DISK:-8}
read -ra build_flags <<< "${RESNET_BUILD_FLAGS:-}"
read -ra more_images <<< "${RESNET_LOAD:-}"

# Docker 20.10 builds without BuildKit unless told, and the Dockerfile needs it. Attestations make an image that
# `kind load docker-image` cannot read from Docker's containerd store (kubernetes-sigs/kind 3795).
export DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

# ---- what must be there before anything is made ----
missing=()
for command in docker kind kubectl helm "${launch%% *}"; do
  command -v "$command" > /dev/null || missing+=("$command")
done
[[ ${#missing[@]} -eq 0 ]] || fail "missing on PATH: ${missing[*]}" \
  'see docs/guides/install-kind.md; without Docker, make cluster-up starts a Kubernetes on one machine'

if ! answer=$(docker version --format '{{.Server.Version}}' 2>&1); then
  answer=$(grep -m 1 -i -E 'denied|cannot connect|error' <<< "$answer" || tail -n 1 <<< "$answer")
  if [[ $answer == *denied* ]]; then
    fail "docker: user $(id -un) must be allowed to use the engine, got: $answer" \
      'sudo usermod -aG docker $USER, then log in again'
  fi
  fail "docker: an engine must run, got: $answer" 'sudo systemctl start docker, or set DOCKER_HOST'
fi

version=$(kind version | grep -o -m 1 -E 'v[0-9]+\.[0-9]+' | head -n 1)
if [[ $(printf 'v0.27\n%s\n' "$version" | sort -V | head -n 1) != v0.27 ]]; then
  fail "kind: must be 0.27 or newer to load images into nodes with containerd 2, got ${version#v}" \
    'go install sigs.k8s.io/kind@v0.33.0'
fi

store=$(docker info --format '{{.DockerRootDir}}')
if [[ -d $store ]]; then  # not so where Docker runs in a virtual machine
  free=$(df --block-size=1G --output=avail "$store" | tail -n 1 | tr -d ' ')
  (( free >= disk )) || fail "disk: $disk GB must be free for images in $store, got $free GB" 'docker system prune'
fi

[[ -z ${RESNET_ARCHIVE:-} || -f $RESNET_ARCHIVE ]] || fail \
  "RESNET_ARCHIVE: must be a file, got $RESNET_ARCHIVE" \
  "resnet-launch image build --target cpu --output image.tar"
if kind get clusters --quiet | grep -q -x -F "$cluster"; then
  fail "kind: cluster $cluster is there already" "kind delete cluster --name $cluster, or set RESNET_KIND_NAME"
fi

[[ ${1:-} != --check ]] || exit 0

# ---- the steps; what they make is gone afterwards ----
set -m  # each command is a group of processes, which an interruption ends whole
mkdir -p "$folder"
scratch=$(mktemp -d)
export KUBECONFIG=$scratch/kubeconfig
step=start
running=
interrupted=

begin() {
  step=$1
  : > "$scratch/output"
  printf '\n== %s (%s s)\n' "$step" "$SECONDS"
}

# Run a command of the step, and keep what it prints for the hint. In the background, so that a signal is
# handled at once instead of after the command.
run() {
  { "$@" 2>&1 < /dev/null | tee -a "$scratch/output"; } &
  running=$!
  wait "$running"
  running=
}

prints() { grep -q -i -E "$1" "$scratch/output"; }

hint() {
  if prints 'no space left on device'; then
    echo "the disk filled up: docker system prune"
  elif prints 'proxyerror|proxyconnect|cannot connect to proxy|connect to proxy|proxy authentication'; then
    echo "behind a proxy, HTTPS_PROXY must be one that containers reach, got ${HTTPS_PROXY:-${https_proxy:-none}}"
  elif prints 'failed to (resolve source metadata|solve.*pull|pull image)|dial tcp|no such host|x509:|i/o timeout'; then
    echo 'a registry or host was not reached: "Behind a proxy" in docs/guides/install-kind.md'
  else
    echo "what is known of the cluster is in $folder"
  fi
}

state() {
  kubectl get pods,jobs,jobsets --all-namespaces --output wide > "$folder/objects.txt" || true
  grep -E '^[a-z-]+ +pod/' "$folder/objects.txt" | grep -v -E ' (Running|Completed) ' || true
  kubectl get events --all-namespaces --sort-by .lastTimestamp > "$folder/events.txt" || true
  kind export logs "$folder/kind" --name "$cluster" > /dev/null || true
}

finish() {
  code=$?
  trap - EXIT
  trap '' INT TERM  # once is enough
  if [[ $running ]]; then
    disown -a  # bash says nothing of its end
    kill -- "-$running" 2> /dev/null || true
  fi
  if [[ $interrupted ]]; then
    printf 'error: interrupted in the step: %s\n' "$step" >&2
  elif (( code )); then
    [[ ! -s $KUBECONFIG ]] || state 2> /dev/null
    printf 'error: %s failed with exit code %s; its output is above\n' "$step" "$code" >&2
    printf 'hint: %s\n' "$(hint)" >&2
  fi
  if [[ ${RESNET_KEEP:-} == 1 ]]; then
    echo "kept: kind get kubeconfig --name $cluster"
  else
    kind delete cluster --name "$cluster" --quiet || true
  fi
  [[ ! $running ]] || kill -KILL -- "-$running" 2> /dev/null || true
  rm -rf "$scratch"
  exit "$code"
}

# A function is read whole before it runs: an edit of this file meanwhile changes nothing.
steps() {
  if [[ -z ${RESNET_ARCHIVE:-} ]]; then
    begin "the image"
    variables=(HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy PIP_INDEX_URL UV_DEFAULT_INDEX)
    run docker build --target cpu --tag "$image" "${variables[@]/#/--build-arg=}" "${build_flags[@]}" .
  fi
  begin "the cluster"
  # JobSet waits for a certificate in its volume, which a kubelet looks at once a minute; as JobSet waits longer
  # from try to try, it would take up to three.
  cat > "$scratch/kind.yaml" << 'END'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  syncFrequency: 5s
END
  run kind create cluster --name "$cluster" --config "$scratch/kind.yaml" --wait 3m ${RESNET_KIND_NODE:+--image "$RESNET_KIND_NODE"}
  begin "loading the image"
  for entry in "${RESNET_ARCHIVE:-$image}" "${more_images[@]}"; do
    if [[ -f $entry ]]; then
      run kind load image-archive "$entry" --name "$cluster"
    else
      run kind load docker-image "$entry" --name "$cluster"
    fi
  done
  begin "JobSet"
  run kubectl apply --server-side --filename "$jobset"
  run kubectl wait --namespace jobset-system --for condition=Available --timeout 5m deployment/jobset-controller-manager
  begin "the platform chart"
  run helm install platform helm/resnet-platform --namespace smoke --create-namespace --wait --timeout 3m \
    --set "smokeTest.image=$image"
  run kubectl label namespace smoke --overwrite pod-security.kubernetes.io/enforce=restricted
  begin "the smoke job"
  run env "RESNET_IMAGE=$image" RESNET_NAMESPACE=smoke "RESNET_KUBECONFIG=$KUBECONFIG" tests/smoke.sh "$folder"
  begin "helm test"
  run helm test platform --namespace smoke --logs --timeout 10m
  printf '\nall of it passed in %s s\n' "$SECONDS"
}

trap finish EXIT
trap 'interrupted=1; exit 130' INT
trap 'interrupted=1; exit 143' TERM
steps; exit
