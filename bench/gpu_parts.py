"""The parts of bench/gpu.py: what each runs, how long it may take, and why it cannot run here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FASHION = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One measurement.

    Attributes:
      group: what --parts selects.
      name: first column of the table.
      command: arguments after the Python.
      limit: seconds after which it is ended.
      pytorch: whether PyTorch's Python runs it.
      environment: variables on top of this process's.
      missing: why it cannot run here; empty where it can.
      shape: network, pixels and batch, by which rows are compared.
    """

    group: str
    name: str
    command: tuple[str, ...]
    limit: float
    pytorch: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    shape: tuple[str, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Networks, pixels, batches and times of one kind of run."""

    resnet: str
    vit: str
    torch_resnet: str
    torch_vit: str
    side: int
    batches: tuple[int, ...]
    vit_batch: int
    seconds: float
    ceiling_side: int
    steps: str
    epochs: str


REAL = Sizes(
    resnet="resnet50",
    vit="vit-b16",
    torch_resnet="resnet50",
    torch_vit="vit_base_patch16_224",
    side=224,
    batches=(256, 128, 512),
    vit_batch=128,
    seconds=4.0,
    ceiling_side=8192,
    steps="200",
    epochs="30",
)
TINY = Sizes(
    resnet="resnet-tiny",
    vit="vit-tiny",
    torch_resnet="resnet18",
    torch_vit="vit_tiny_patch16_224",
    side=32,
    batches=(4,),
    vit_batch=2,
    seconds=0.1,
    ceiling_side=64,
    steps="4",
    epochs="0.001",
)
# Each alone, on top of the defaults: settings of the trainer, or flags of XLA.
LEVERS: dict[str, tuple[dict[str, str], str]] = {
    "BatchNorm folded": ({"model.bn_fold": "on"}, ""),
    "BatchNorm apart": ({"model.bn_fold": "off"}, ""),
    "float32 kernel gradients": ({"model.grad_dtype": "float32"}, ""),
    "convolutions in NHWC": ({}, "--xla_gpu_force_conv_nhwc=true"),
    "convolutions in NCHW": ({}, "--xla_gpu_force_conv_nchw=true"),
    "no CUDA graphs": ({}, "--xla_gpu_enable_command_buffer="),
    "latency-hiding scheduler": ({}, "--xla_gpu_enable_latency_hiding_scheduler=true"),
    "no Triton products": ({}, "--xla_gpu_enable_triton_gemm=false"),
}


def script(file: str, /, **spec: Any) -> tuple[str, ...]:
    """Return the arguments of a script of this folder that takes JSON."""
    return str(HERE / file), json.dumps(spec)


def our_step(sizes: Sizes, arch: str, batch: int, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """Return command and shape of a step of ours."""
    spec = {"arch": arch, "side": sizes.side, "batch": batch, "seconds": sizes.seconds}
    return {
        "command": script("gpu_ours.py", **spec, settings=settings or {}),
        "shape": ("resnet" if arch == sizes.resnet else "vit", sizes.side, batch),
    }


def torch_step(sizes: Sizes, library: str, batch: int, mode: str, missing: str) -> dict[str, Any]:
    """Return command and shape of a step of PyTorch's."""
    kind, name = ("resnet", sizes.torch_resnet) if library == "torchvision" else ("vit", sizes.torch_vit)
    spec = {"library": library, "name": name, "side": sizes.side, "batch": batch, "seconds": sizes.seconds}
    return {
        "command": script("gpu_torch.py", **spec, mode=mode),
        "shape": (kind, sizes.side, batch),
        "pytorch": True,
        "missing": missing,
    }


def parts(sizes: Sizes, torch_python: str, fashion: Path, gpu: bool, run_dir: str) -> list[Part]:
    """Return all parts, those first that matter most."""
    lacking = {name: lacks(torch_python, name) for name in ("torchvision", "timm")}
    launcher = lacks(sys.executable, "kubernetes") or lacks(sys.executable, "grain")
    first = sizes.batches[0]
    listed = [
        Part(
            group="ceilings",
            name="copy and product",
            command=script("gpu_ceilings.py", side=sizes.ceiling_side),
            limit=60,
        )
    ]
    for batch in sizes.batches:
        listed.append(
            Part(
                group="ours",
                name=f"ours, ResNet-50, {batch}",
                limit=120,
                **our_step(sizes, sizes.resnet, batch),
            )
        )
        listed += [
            Part(
                group="torch",
                name=f"torchvision {mode}, ResNet-50, {batch}",
                limit=120,
                **torch_step(sizes, "torchvision", batch, mode, lacking["torchvision"]),
            )
            for mode in (("eager", "compile") if batch == first else ("eager",))
        ]
    batch = sizes.vit_batch
    listed.append(
        Part(group="vit", name=f"ours, ViT-B/16, {batch}", limit=120, **our_step(sizes, sizes.vit, batch))
    )
    listed += [
        Part(
            group="vit",
            name=f"timm {mode}, ViT-B/16, {batch}",
            limit=120,
            **torch_step(sizes, "timm", batch, mode, lacking["timm"]),
        )
        for mode in ("eager", "compile")
    ]
    estimate = ("-m", "trainer.check", "--estimate", "gpu:1", "--steps", "train", "--")
    listed.append(
        Part(
            group="check",
            name=f"check, ResNet-50, {first}",
            command=(*estimate, "--arch", sizes.resnet, "--batch", str(first), *image_size(sizes)),
            limit=60,
            environment=(("JAX_PLATFORMS", "cpu"),),
        )
    )
    trainer = ("-m", "trainer", "--run-dir")
    listed.append(
        Part(
            group="fashion",
            name="Fashion-MNIST, ResNet-18",
            command=(
                *(*trainer, f"{run_dir}/fashion", "--data", "fashion-mnist", "--epochs", sizes.epochs),
                *("--arch", "resnet18" if sizes is REAL else "resnet-tiny", "--seed", "0"),
                *("--set", f"data.root={fashion}", "--log-format", "json"),
            ),
            limit=200,
            missing=lacks(sys.executable, "grain") or lacks_fashion(fashion),
        )
    )
    slice_name = "local-gpu" if gpu else "cpu-1x1"
    listed.append(
        Part(
            group="local",
            name=f"resnet-launch local --slice {slice_name}",
            command=(
                *("-m", "launcher", "local", "--slice", slice_name, "--arch", "resnet-tiny"),
                *("--data", "digits", "--steps", sizes.steps, "--run-dir", f"{run_dir}/local"),
            ),
            limit=90,
            missing=launcher,
        )
    )
    for name, (settings, flags) in LEVERS.items():
        step = our_step(sizes, sizes.resnet, first, settings)
        unknown = "" if gpu or not flags else "a flag of XLA for GPUs"
        environment = (("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()),)
        listed.append(
            Part(group="levers", name=name, limit=90, environment=environment, missing=unknown, **step)
        )
    loop = (str(HERE / "loop.py"), "--rounds", "1", *(("--arch", "resnet-tiny") if sizes is TINY else ()))
    platform = (("JAX_PLATFORMS", "cuda" if gpu else "cpu"),)
    listed.append(
        Part(
            group="loop",
            name="loop per step",
            command=loop,
            limit=90,
            environment=platform,
            missing=lacks(sys.executable, "grain"),
        )
    )
    listed.append(
        Part(
            group="save",
            name="a save",
            command=(str(HERE / "save_overhead.py"), "--rounds", "1"),
            limit=120,
            environment=platform,
            missing="takes minutes on a CPU" if sizes is TINY else lacks(sys.executable, "grain"),
        )
    )
    return listed


def image_size(sizes: Sizes) -> tuple[str, ...]:
    return "--set", f"data.image_size={sizes.side}"


def lacks(python: str, module: str) -> str:
    """Return why a Python cannot import a module; empty where it can."""
    if not Path(python).exists():
        return f"there is no Python at {python}"
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return "" if subprocess.run([python, "-c", code]).returncode == 0 else f"{module} is not installed"


def lacks_fashion(folder: Path) -> str:
    """Return why the dataset is not in this folder; empty where it is."""
    files = [name for name in FASHION if not any((folder / f"{name}{end}").exists() for end in (".gz", ""))]
    return f"{folder} lacks {files[0]}.gz" if files else ""
