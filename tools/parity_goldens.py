"""Write parity.json and positions.json of tests/trainer/models: what torchvision and timm compute.

    python tools/parity_goldens.py [--write] [--only positions]

PyTorch gets an environment of its own in the cache folder (pins in bench/requirements-parity.txt), and the
script starts itself there. No weights are downloaded: numpy's RandomState draws each tensor, seeded by its
name. Those numbers never change, so the test draws the same ones without PyTorch. Without --write the script
compares its results with the file and fails where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("RESNET_CACHE") or Path.home() / ".cache" / "resnet-launch")
FOLDER = CHECKOUT / "tests" / "trainer" / "models"
IMAGES = (4, 64, 64, 3)
LABELS = (1, 3, 5, 7)
CLASSES = 10

# No epsilon beside a kernel's variance, and the tanh form of GELU, as in DeepMind's code.
DEEPMIND = {"std_conv_eps": 1e-12, "act_layer": "gelu_tanh", "drop_rate": 0.0}
NFNET_TINY = {"depths": (1, 1), "channels": (16, 32), "stem_chs": 32, "group_size": 8, "num_features": 64}

# case: (library, its name for the network, further arguments)
CASES = {
    "resnet18": ("torchvision", "resnet18", {}),
    "resnet34": ("torchvision", "resnet34", {}),
    "resnet50": ("torchvision", "resnet50", {}),
    "resnet101": ("torchvision", "resnet101", {}),
    "resnet152": ("torchvision", "resnet152", {}),
    "wide-resnet50-2": ("torchvision", "wide_resnet50_2", {}),
    "wide-resnet101-2": ("torchvision", "wide_resnet101_2", {}),
    "resnext50-32x4d": ("torchvision", "resnext50_32x4d", {}),
    "resnext101-32x8d": ("torchvision", "resnext101_32x8d", {}),
    "resnext101-64x4d": ("torchvision", "resnext101_64x4d", {}),
    "resnet-d": ("timm", "resnet18d", {}),
    "blur": ("timm", "resnetblur50", {}),
    "squeeze": ("timm", "seresnet50", {}),
    "vit-ti16": ("timm", "vit_tiny_patch16_224", {"img_size": 64}),
    "vit-mean": (
        "timm",
        "vit_tiny_patch16_224",
        {"img_size": 64, "global_pool": "avg", "class_token": False, "fc_norm": False},
    ),
    "vit-map": (
        "timm",
        "vit_tiny_patch16_224",
        {"img_size": 64, "global_pool": "map", "class_token": False, "fc_norm": False},
    ),
    "vit-b32": ("torchvision", "vit_b_32", {"image_size": 64}),
    "convnext-t": ("timm", "convnext_tiny", {}),
    "convnext-torchvision": ("torchvision", "convnext_tiny", {"stochastic_depth_prob": 0.0}),
    "efficientnet-b0": ("timm", "tf_efficientnet_b0", {}),
    "efficientnet-b1": ("torchvision", "efficientnet_b1", {"dropout": 0.0, "stochastic_depth_prob": 0.0}),
    "efficientnetv2-b0": ("timm", "tf_efficientnetv2_b0", {}),
    "efficientnetv2-s": (
        "torchvision",
        "efficientnet_v2_s",
        {"dropout": 0.0, "stochastic_depth_prob": 0.0},
    ),
    "resnetv2-50": ("timm", "resnetv2_50", {}),
    "resnetv2-101": ("timm", "resnetv2_101", {}),
    "resnetv2-152": ("timm", "resnetv2_152", {}),
    "resnetv2-d": ("timm", "resnetv2_50d", {}),
    "deit3-s16": ("timm", "deit3_small_patch16_224", {"img_size": 64}),
    "nfnet-f0": ("timm", "dm_nfnet_f0", DEEPMIND),
    "nfnet-tiny": ("timm", "dm_nfnet_f0", DEEPMIND | NFNET_TINY),
    "nf-resnet50": ("timm", "nf_resnet50", {}),
}


# (rows before, rows after, tokens before the patches)
POSITIONS = [(14, 24, 1), (14, 7, 1), (8, 14, 0), (4, 6, 1), (14, 10, 0)]


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float32 tensor of a name: variances near 1, kernels with He's variance, no exact 0 or 1."""
    stream = np.random.RandomState(zlib.crc32(name.encode()))
    values = stream.standard_normal(shape)
    if name.endswith("running_var"):
        values = np.exp(0.1 * values)
    elif name.endswith("gain"):
        values = 1.0 + 0.1 * values  # a network without normalisation: else its branches go untested
    elif len(shape) == 1:
        scale = name.endswith("weight")
        values = (0.5 if scale else 0.0) + 0.1 * values
        if name.endswith("bn3.weight"):
            values *= 0.4  # else gradients grow by thousands in 50 layers, and float32 has few digits left
    else:
        values = values * np.sqrt(2.0 / np.prod(shape[1:]))
    return np.asarray(values, np.float32)  # a scalar too


def images() -> np.ndarray:
    """Return the input of every case: [4, 64, 64, 3] float32, standard normal."""
    return np.random.RandomState(0).standard_normal(IMAGES).astype(np.float32)


def torch_python() -> Path:
    """Return the Python of the environment with PyTorch, which is made where it is missing."""
    place = CACHE / "torch-parity"
    if not (place / "ready").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", place], check=True)
        pins = CHECKOUT / "bench" / "requirements-parity.txt"
        environment = {**os.environ, "VIRTUAL_ENV": str(place)}
        subprocess.run([uv, "pip", "install", "--quiet", "-r", pins], env=environment, check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def compute(case: str) -> dict:
    """Return logits in evaluation (float32); loss, gradients and statistics in training (float64)."""
    import torch

    library, name, arguments = CASES[case]
    if library == "torchvision":
        import torchvision

        model = torchvision.models.get_model(name, num_classes=CLASSES, **arguments)
    else:
        import timm
        from timm.models import nfnet

        nfnet._nonlin_gamma["gelu_tanh"] = nfnet._nonlin_gamma["gelu"]
        model = timm.create_model(name, num_classes=CLASSES, **arguments)
    drawn = {
        key: torch.from_numpy(draw(key, tuple(value.shape)))
        for key, value in model.state_dict().items()
        if value.dtype == torch.float32 and not key.endswith(".filt")
    }
    model.load_state_dict(drawn, strict=False)
    pixels = torch.from_numpy(images()).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = model.eval()(pixels)
    model = model.double().train()
    loss = torch.nn.functional.cross_entropy(model(pixels.double()), torch.tensor(LABELS))
    loss.backward()
    norms = {key: float(p.grad.norm()) for key, p in model.named_parameters()}
    sums = {key: float(p.grad.flatten()[::7].sum()) for key, p in model.named_parameters()}
    running = {k: float(v.norm()) for k, v in model.state_dict().items() if "running" in k}
    return {
        "logits": [[round(float(x), 6) for x in row] for row in logits],
        "loss": loss.item(),
        "total": float(np.sqrt(sum(n * n for n in norms.values()))),
        "gradients": _few(norms),
        "sums": _few(sums),
        "running": _few(running),
    }


def positions() -> list[list[list[float]]]:
    """Return what timm makes of positions of each case of POSITIONS, [tokens after, 3]."""
    import torch
    from timm.layers import resample_abs_pos_embed

    results = []
    for before, after, first in POSITIONS:
        drawn = torch.from_numpy(draw(f"positions.{before}", (before**2 + first, 3)))[None]
        new = resample_abs_pos_embed(drawn, [after, after], num_prefix_tokens=first)
        results.append([[round(float(x), 6) for x in row] for row in new[0]])
    return results


def _few(values: dict[str, float]) -> dict[str, float]:
    """Return the first, the last and six values between: a file of a few kB that still covers every stage."""
    names = list(values)
    chosen = sorted({round(i * (len(names) - 1) / 7) for i in range(8)}) if names else []
    return {names[i]: float(f"{values[names[i]]:.7g}") for i in chosen}


def cases() -> str:
    """Return parity.json."""
    results = {}
    for case in CASES:
        results[case] = compute(case)
        print(case, file=sys.stderr, flush=True)
    rows = ",\n".join(f' "{case}": {json.dumps(row)}' for case, row in results.items())
    return "{\n" + rows + "\n}\n"


# name of a file in tests/trainer/models, without its suffix -> what makes it
FILES = {"parity": cases, "positions": lambda: json.dumps(positions()) + "\n"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="rewrite the files")
    parser.add_argument("--only", choices=FILES, help="one of the files (default: all)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(FILES[args.only](), end="")
        return
    for name in [args.only] if args.only else FILES:
        command = [torch_python(), __file__, "--inside", "--only", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        file = FOLDER / f"{name}.json"
        if args.write:
            file.write_text(done.stdout, encoding="utf-8")
        elif done.stdout != file.read_text(encoding="utf-8"):
            raise SystemExit(f"{file.name} differs from what PyTorch computes here; --write rewrites it")


if __name__ == "__main__":
    main()
