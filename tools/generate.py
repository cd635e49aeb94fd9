"""Write all generated files: contract.json, chips.json, docs/reference/, manifests/ and the charts' data.

`python tools/generate.py [DIR]` writes into DIR instead of the checkout. `make verify` compares the two.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import contract
import reference

CHECKOUT = Path(__file__).resolve().parent.parent
VALUES = "<!-- values -->"

# file name: the flags after `resnet-launch render`
MANIFESTS = {
    "resnet152-v4-32": "--slice v4-32 --arch resnet152",
    "program-a100-16": "--slice a100-16 --num-slices 2 --command 'python train.py --lr 0.1' --workdir /app "
    "--exit-codes preempted=75,fatal=2 --bucket my-bucket --image registry.example/mine:1 "
    "--name program-a100-16",
    "program-v5e-16": "--slice v5e-16 --command 'python train.py' --bucket my-bucket --name program-v5e-16",
    "program-cpu-2x4": "--slice cpu-2x4 --command 'python train.py' --name program-cpu-2x4",
    "resnet50-v5e-1": "--slice v5e-1 --arch resnet50 --bucket my-bucket",
    "resnet50-v5e-16": "--slice v5litepod-16 --arch resnet50 --bucket my-bucket --batch 4096",
    "resnet50-v5p-128": "--slice v5p-128 --arch resnet50 --bucket my-bucket",
    "resnet50-v6e-8": "--slice trillium-8 --arch resnet50 --bucket my-bucket",
    "resnet50-v6e-8-1": "--slice v6e-8-1 --arch resnet50 --bucket my-bucket",
    "resnet50-v4-4096": "--slice v4-4096 --arch resnet50 --bucket my-bucket",
    "resnet50-multislice": "--slice v5e-256 --num-slices 8 --arch resnet50 --bucket my-bucket "
    "--name resnet50-multislice",
    "resnet50-l4-1": "--slice l4-1 --arch resnet50 --bucket my-bucket",
    "resnet50-a100-16": "--slice a100-16 --arch resnet50 --bucket my-bucket",
    "resnet50-generic-gpu": "--slice a100-8 --platform generic --node-selector gpu=a100 --arch resnet50 "
    "--mount pvc/runs:/runs --run-dir /runs/resnet50 --name resnet50-generic-gpu",
    "resnet50-tpu7x-64": "--slice tpu7x-64 --arch resnet50 --bucket my-bucket --placement-policy my-policy",
    "resnet50-h100-32": "--slice h100-32 --arch resnet50 --bucket my-bucket",
    "resnet50-h100-mega-64": "--slice h100-mega-64 --arch resnet50 --bucket my-bucket",
    "resnet50-h200-16": "--slice h200-16 --arch resnet50 --bucket my-bucket",
    "resnet50-b200-16": "--slice b200-16 --arch resnet50 --bucket my-bucket",
    "resnet50-gb200-72": "--slice gb200-72 --arch resnet50 --bucket my-bucket",
    "resnet50-gb300-72": "--slice gb300-72 --arch resnet50 --bucket my-bucket",
    "resnet50-tpu7-64": "--slice tpu7-64 --arch resnet50 --bucket my-bucket --placement-policy my-policy",
    "resnet50-gb200-nolssd-8": "--slice gb200-8-nolssd --arch resnet50 --bucket my-bucket",
    "resnet50-rtx-pro6000-8": "--slice rtx-pro6000-8 --arch resnet50 --bucket my-bucket",
    "resnet50-pod-flags": "--slice v5e-16 --arch resnet50 --bucket my-bucket --name resnet50-pod-flags "
    "--image-pull-secret registry --image-pull-policy Always --cpu 8 --cpu-limit 16 --memory 64Gi "
    "--memory-limit 96Gi --ephemeral-storage 20Gi --shm 16Gi --priority-class research --scheduler packing "
    "--node-affinity 'topology.kubernetes.io/zone=us-a|us-b' --compute-class reserved-first",
    "resnet50-reservation-block": "--slice v5p-32 --arch resnet50 --bucket my-bucket --reservation "
    "projects/my-project/reservations/my-capacity/reservationBlocks/block-1/reservationSubBlocks/part-2 "
    "--name resnet50-reservation-block",
    "resnet50-dranet": "--slice h200-16 --fabric dranet --arch resnet50 --bucket my-bucket "
    "--name resnet50-dranet",
    "resnet50-gb200-domains": "--slice gb200-72 --num-slices 2 --fabric dranet --arch resnet50 "
    "--bucket my-bucket --name resnet50-gb200-domains",
    "resnet50-efa": "--slice h100-16 --platform generic --fabric efa --arch resnet50 --mount pvc/runs:/runs "
    "--run-dir /runs/resnet50 --name resnet50-efa",
    "resnet50-ib": "--slice h100-16 --platform generic --fabric ib --arch resnet50 --mount pvc/runs:/runs "
    "--run-dir /runs/resnet50 --name resnet50-ib",
    "resnet50-roce": "--slice h100-16 --platform generic --fabric roce --fabric-resource nvidia.com/rdma=8 "
    "--annotation k8s.v1.cni.cncf.io/networks=rdma --arch resnet50 --mount pvc/runs:/runs "
    "--run-dir /runs/resnet50 --name resnet50-roce",
    "resnet50-amd": "--slice h100-8 --platform generic --gpu-resource amd.com/gpu --arch resnet50 "
    "--mount pvc/runs:/runs --run-dir /runs/resnet50 --name resnet50-amd",
    "resnet50-tuning": "--slice v6e-16 --num-slices 2 --tuning published --arch resnet50 --bucket my-bucket "
    "--name resnet50-tuning",
    "resnet50-spot": "--slice v5e-16 --spot --arch resnet50 --bucket my-bucket --name resnet50-spot",
    "resnet50-reservation": "--slice v5p-32 --reservation my-capacity --arch resnet50 --bucket my-bucket "
    "--name resnet50-reservation",
    "resnet50-flex": "--slice v6e-16 --flex 24h --arch resnet50 --bucket my-bucket --name resnet50-flex",
    "resnet50-flex-queued": "--slice a100-16 --flex 24h --queue dws --arch resnet50 --bucket my-bucket "
    "--name resnet50-flex-queued",
    "resnet50-queue": "--slice b200-16 --queue team --priority high --topology-required "
    "cloud.google.com/gce-topology-block --arch resnet50 --bucket my-bucket --name resnet50-queue",
    "resnet50-queue-multislice": "--slice v5e-16 --num-slices 4 --queue team --topology-required "
    "cloud.google.com/gce-topology-block --arch resnet50 --bucket my-bucket --name resnet50-queue-multislice",
    "resnet50-jobset-0.8": "--slice v5e-16 --jobset-version 0.8 --arch resnet50 --bucket my-bucket "
    "--name resnet50-jobset-08",
    "resnet18-cpu-2x4": "--slice cpu-2x4 --arch resnet18 --data digits --bucket my-bucket",
}


def chips() -> str:
    """Return chips.json: JAX's device kind -> peak FLOP/s and bytes/s per device, for the trainer's MFU."""
    from launcher.hardware import facts

    peaks = {}
    for row in facts.generations().values():
        for kind in row.get("kinds", ()):
            share = 1 / row.get("devices_per_chip", 1)
            chip = row["chip"]
            peaks[kind] = {"flops": chip["bf16"] * 1e12 * share, "bytes": chip["bandwidth"] * 1e9 * share}
    return json.dumps(peaks, indent=1) + "\n"


def manifest(flags: str) -> str:
    """Return what `resnet-launch render` prints for these flags, headed by the command."""
    from launcher.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as stderr:
        if main(["render", *shlex.split(flags)]):
            raise SystemExit(f"render {flags}\n{stderr.getvalue()}")
    return f"# resnet-launch render {flags}\n{printed.getvalue()}"


def charts() -> dict[str, str]:
    """Return path in helm/ -> text: the launcher's knowledge, for charts that are used without it."""
    import chart_catalogue
    import chart_platform
    import chart_values
    import chart_words

    documents = {
        "resnet-train/files/slices.json": chart_catalogue.generations(),
        "resnet-train/files/jobset.json": chart_catalogue.jobset(),
        "resnet-train/files/words.json": chart_words.words(),
        "resnet-train/files/trainer.json": chart_values.trainer(),
        "resnet-train/values.schema.json": chart_values.values_schema(),
        "resnet-platform/files/flavors.json": chart_platform.flavors(),
        "resnet-platform/files/smoke.json": chart_platform.smoke(),
        "resnet-platform/values.schema.json": chart_platform.values_schema(),
    }
    texts = {
        name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in documents.items()
    }
    platform = (CHECKOUT / "helm" / "resnet-platform" / "values.yaml").read_text(encoding="utf-8")
    tables = {"resnet-train": chart_values.table(), "resnet-platform": chart_platform.table(platform)}
    for name, table in tables.items():
        readme = (CHECKOUT / "helm" / name / "README.md").read_text(encoding="utf-8")
        texts[f"{name}/README.md"] = f"{readme.partition(VALUES)[0]}{VALUES}\n\n{table}"
    return texts | {"resnet-train/values.yaml": chart_values.values_yaml()}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main(root: Path) -> None:
    write(root / "launcher" / "contract.json", contract.text())
    for name, text in reference.pages().items():
        write(root / "docs" / "reference" / name, text)
    write(root / "trainer" / "cost" / "chips.json", chips())
    for name, text in charts().items():
        write(root / "helm" / name, text)
    for name in [name for name in os.environ if name.startswith("RESNET_LAUNCH_")]:
        del os.environ[name]
    # An empty folder has no resnet-launch.yaml, whose values would be rendered too.
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        rendered = {name: manifest(flags) for name, flags in MANIFESTS.items()}
    for name, text in rendered.items():
        write(root / "manifests" / f"{name}.yaml", text)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
