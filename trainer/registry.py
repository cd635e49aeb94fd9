"""Networks, datasets and libraries by name, as plain tables: looking up a name does not import jax."""

from collections.abc import Mapping
from typing import Any

RESNET50 = {"block": "bottleneck", "stage_sizes": (3, 4, 6, 3)}
RESNET101 = {"block": "bottleneck", "stage_sizes": (3, 4, 23, 3)}

VIT_TI = {"width": 192, "depth": 12, "heads": 3, "hidden": 768}
VIT_S = {"width": 384, "depth": 12, "heads": 6, "hidden": 1536}
VIT_B = {"width": 768, "depth": 12, "heads": 12, "hidden": 3072}
VIT_L = {"width": 1024, "depth": 24, "heads": 16, "hidden": 4096}
DEIT3 = {"patch": 16, "layer_scale": 1e-6, "class_position": False}

# A word is a stage: repeats, kernel, stride, expansion, channels; f is fused (trainer.models.efficientnet).
B0 = "r1k3s1e1o16 r2k3s2e6o24 r2k5s2e6o40 r3k3s2e6o80 r3k5s1e6o112 r4k5s2e6o192 r1k3s1e6o320"
V2_B0 = "f1k3s1e1o16 f2k3s2e4o32 f2k3s2e4o48 r3k3s2e4o96 r5k3s1e6o112 r8k3s2e6o192"
V2_S = "f2k3s1e1o24 f4k3s2e4o48 f4k3s2e4o64 r6k3s2e4o128 r9k3s1e6o160 r15k3s2e6o256"
V2_M = "f3k3s1e1o24 f5k3s2e4o48 f5k3s2e4o80 r7k3s2e4o160 r14k3s1e6o176 r18k3s2e6o304 r5k3s1e6o512"
V2_L = "f4k3s1e1o32 f7k3s2e4o64 f7k3s2e4o96 r10k3s2e4o192 r19k3s1e6o224 r25k3s2e6o384 r7k3s1e6o640"
V1 = {"stages": B0}
V2 = {"stem": 24}

# Convolutions of a ResNet-50 without its BatchNorm, as timm has them (trainer.models.nfnet).
NF_RESNET = {"widths": (256, 512, 1024, 2048), "stem": 64, "pooled_stem": True, "bottleneck": 0.25}
NF_RESNET |= {"group_width": 0, "twice": False, "squeeze": 0.0, "last": 0, "skip_gain": False, "same": False}
NF_RESNET |= {"gain_in_kernel": True, "epsilon": 1e-5, "activation": "relu"}
NFNET_TINY = {"depths": (1, 1), "widths": (16, 32), "stem": 32, "group_width": 8, "last": 64}
MDEQ = {"widths": (32, 64, 128, 256), "groups": 8, "solver": "plain", "iterations": 26}
MDEQ_CIFAR = {"readout": (14, 28, 56, 112), "features": 1680, "halvings": 0, "normalised_fusion": True}
MDEQ_CIFAR |= {"solver": "broyden", "iterations": 18}
DEQ_TINY = {"widths": (8, 16), "readout": (4, 8), "features": 32, "groups": 4, "halvings": 0}
DEQ_TINY |= {"solver": "anderson", "iterations": 8}

# name -> (module of trainer.models, sizes that its function ``architecture`` takes); each holds one family
ARCHS = {
    "resnet18": ("resnet", {"block": "basic", "stage_sizes": (2, 2, 2, 2)}),
    "resnet34": ("resnet", {"block": "basic", "stage_sizes": (3, 4, 6, 3)}),
    "resnet50": ("resnet", RESNET50),
    "resnet101": ("resnet", RESNET101),
    "resnet152": ("resnet", {"block": "bottleneck", "stage_sizes": (3, 8, 36, 3)}),
    "wide-resnet50-2": ("resnet", {**RESNET50, "group_width": 128}),
    "wide-resnet101-2": ("resnet", {**RESNET101, "group_width": 128}),
    "resnext50-32x4d": ("resnet", {**RESNET50, "groups": 32, "group_width": 4}),
    "resnext101-32x8d": ("resnet", {**RESNET101, "groups": 32, "group_width": 8}),
    "resnext101-64x4d": ("resnet", {**RESNET101, "groups": 64, "group_width": 4}),
    # Dosovitskiy et al. 2020 (arXiv:2010.11929), table 1; timm for Ti and S; Touvron et al. 2022
    # (arXiv:2204.07118) for deit3
    "vit-ti16": ("vit", VIT_TI | {"patch": 16}),
    "vit-s16": ("vit", VIT_S | {"patch": 16}),
    "vit-s32": ("vit", VIT_S | {"patch": 32}),
    "vit-b16": ("vit", VIT_B | {"patch": 16}),
    "vit-b32": ("vit", VIT_B | {"patch": 32}),
    "vit-l16": ("vit", VIT_L | {"patch": 16}),
    "deit3-s16": ("vit", VIT_S | DEIT3),
    "deit3-b16": ("vit", VIT_B | DEIT3),
    "deit3-l16": ("vit", VIT_L | DEIT3),
    # Tan and Le 2019 (arXiv:1905.11946), the authors' efficientnet_builder.py
    "efficientnet-b0": ("efficientnet", V1),
    "efficientnet-b1": ("efficientnet", V1 | {"depth": 1.1}),
    "efficientnet-b2": ("efficientnet", V1 | {"width": 1.1, "depth": 1.2}),
    "efficientnet-b3": ("efficientnet", V1 | {"width": 1.2, "depth": 1.4}),
    "efficientnet-b4": ("efficientnet", V1 | {"width": 1.4, "depth": 1.8}),
    "efficientnet-b5": ("efficientnet", V1 | {"width": 1.6, "depth": 2.2}),
    "efficientnet-b6": ("efficientnet", V1 | {"width": 1.8, "depth": 2.6}),
    "efficientnet-b7": ("efficientnet", V1 | {"width": 2.0, "depth": 3.1}),
    # Tan and Le 2021 (arXiv:2104.00298), the authors' effnetv2_configs.py
    "efficientnetv2-b0": ("efficientnet", {"stages": V2_B0, "limited": False}),
    "efficientnetv2-s": ("efficientnet", V2 | {"stages": V2_S}),
    "efficientnetv2-m": ("efficientnet", V2 | {"stages": V2_M}),
    "efficientnetv2-l": ("efficientnet", V2 | {"stages": V2_L, "stem": 32}),
    # Liu et al. 2022 (arXiv:2201.03545), section 3
    "convnext-t": ("convnext", {"depths": (3, 3, 9, 3), "widths": (96, 192, 384, 768)}),
    "convnext-s": ("convnext", {"depths": (3, 3, 27, 3), "widths": (96, 192, 384, 768)}),
    "convnext-b": ("convnext", {"depths": (3, 3, 27, 3), "widths": (128, 256, 512, 1024)}),
    # Brock et al. 2021 (arXiv:2102.06171), table 1; timm's nf_resnet50
    "nfnet-f0": ("nfnet", {"depths": (1, 2, 6, 3)}),
    "nfnet-f1": ("nfnet", {"depths": (2, 4, 12, 6)}),
    "nfnet-f2": ("nfnet", {"depths": (3, 6, 18, 9)}),
    "nfnet-f3": ("nfnet", {"depths": (4, 8, 24, 12)}),
    "nfnet-f4": ("nfnet", {"depths": (5, 10, 30, 15)}),
    "nfnet-f5": ("nfnet", {"depths": (6, 12, 36, 18)}),
    "nfnet-f6": ("nfnet", {"depths": (7, 14, 42, 21)}),
    "nf-resnet50": ("nfnet", NF_RESNET | {"depths": (3, 4, 6, 3)}),
    # He et al. 2016 (arXiv:1603.05027); the stride is on the 3x3, as in timm
    "resnetv2-50": ("preact", {"stage_sizes": (3, 4, 6, 3)}),
    "resnetv2-101": ("preact", {"stage_sizes": (3, 4, 23, 3)}),
    "resnetv2-152": ("preact", {"stage_sizes": (3, 8, 36, 3)}),
    # He et al. 2015 (arXiv:1512.03385), section 4.2 and table 6; 2016 (arXiv:1603.05027) for preact
    **{f"cifar-resnet{n}": ("cifar", {"kind": "residual", "depth": n}) for n in (20, 32, 44, 56, 110, 1202)},
    **{f"cifar-preact{n}": ("cifar", {"kind": "preact", "depth": n}) for n in (164, 1001)},
    **{f"cifar-plain{n}": ("cifar", {"kind": "plain", "depth": n}) for n in (20, 56, 110)},
    # Bai et al. 2020 (arXiv:2006.08656); sizes, solver and iterations as in the zoo of torchdeq 0.1.0
    "mdeq-small": ("deq", MDEQ | {"readout": (24, 48, 96, 192), "features": 2048, "halvings": 2}),
    "mdeq-cifar": ("deq", MDEQ | MDEQ_CIFAR),
    # For tests and for trying a cluster, as resnet-tiny.
    "deq-tiny": ("deq", DEQ_TINY),
    "nfnet-tiny": ("nfnet", NFNET_TINY),
    "resnetv2-tiny": ("preact", {"stage_sizes": (2, 2)}),
    "efficientnet-tiny": ("efficientnet", {"stages": "f1k3s1e1o8 r2k3s2e4o16", "stem": 8, "head": 32}),
    "convnext-tiny": ("convnext", {"depths": (1, 1), "widths": (16, 32)}),
    "vit-tiny": ("vit", {"patch": 4, "width": 32, "depth": 2, "heads": 2, "hidden": 64}),
    # Two stages of one block: for tests and for trying a cluster, trains in seconds on a CPU.
    "resnet-tiny": ("resnet", {"block": "basic", "stage_sizes": (1, 1)}),
}

# What mesh.model must divide: counts of a network whose layers can be divided over devices. A network that is
# not here has no such axis.
MODEL_AXIS = {
    name: {"heads": sizes["heads"], "hidden units": sizes["hidden"]}
    for name, (family, sizes) in ARCHS.items()
    if family == "vit"
}

# MB of high-bandwidth memory that one training image moves, with operations fused as compilers do, and its
# GFLOP: the larger of the two times bounds the rate. Images have 224 pixels, those of networks for CIFAR 32.
# The first five count every layer's activations; the others are what `check --estimate` counts for TPUs
# (trainer.cost.estimate), with model.remat=dots where ViT, ConvNeXt and NFNet repeat blocks. On v4 the TPU
# compiler has 17 % more for ViT-B/16, 12 % more for ViT-L/16 and 24 % less for EfficientNetV2-S
# (docs/measurements/slices.md). Those of MDEQ are what the compiler has for v4: estimates are 34 % less for
# MDEQ-Small and 81 % less for MDEQ-CIFAR.
MB_PER_IMAGE = {
    "resnet18": 63,
    "resnet34": 95,
    "resnet50": 286,
    "resnet101": 419,
    "resnet152": 584,
    "wide-resnet50-2": 425,
    "wide-resnet101-2": 690,
    "resnext50-32x4d": 379,
    "resnext101-32x8d": 655,
    "resnext101-64x4d": 650,
    "vit-ti16": 138,
    "vit-s16": 286,
    "vit-s32": 74,
    "vit-b16": 616,
    "vit-b32": 191,
    "vit-l16": 1717,
    "deit3-s16": 286,
    "deit3-b16": 616,
    "deit3-l16": 1717,
    "efficientnet-b0": 119,
    "efficientnet-b1": 166,
    "efficientnet-b2": 175,
    "efficientnet-b3": 232,
    "efficientnet-b4": 307,
    "efficientnet-b5": 396,
    "efficientnet-b6": 507,
    "efficientnet-b7": 680,
    "efficientnetv2-b0": 80.5,
    "efficientnetv2-s": 228,
    "efficientnetv2-m": 336,
    "efficientnetv2-l": 595,
    "convnext-t": 268,
    "convnext-s": 435,
    "convnext-b": 603,
    "nfnet-f0": 259,
    "nfnet-f1": 468,
    "nfnet-f2": 677,
    "nfnet-f3": 886,
    "nfnet-f4": 1095,
    "nfnet-f5": 1304,
    "nfnet-f6": 1513,
    "nf-resnet50": 200,
    "resnetv2-50": 184,
    "resnetv2-101": 272,
    "resnetv2-152": 381,
    "cifar-resnet20": 3.17,
    "cifar-resnet32": 5.12,
    "cifar-resnet44": 7.08,
    "cifar-resnet56": 9.03,
    "cifar-resnet110": 17.8,
    "cifar-resnet1202": 259,
    "cifar-preact164": 54.4,
    "cifar-preact1001": 387,
    "cifar-plain20": 3.17,
    "cifar-plain56": 9.03,
    "cifar-plain110": 17.8,
    "mdeq-small": 688,
    "mdeq-cifar": 669,
}
GFLOP_PER_IMAGE = {
    "resnet18": 10.6,
    "resnet34": 21.7,
    "resnet50": 26.7,
    "resnet101": 50.7,
    "resnet152": 74.5,
    "wide-resnet50-2": 77.7,
    "wide-resnet101-2": 153,
    "resnext50-32x4d": 34.7,
    "resnext101-32x8d": 103,
    "resnext101-64x4d": 96.9,
    "vit-ti16": 7.82,
    "vit-s16": 28.2,
    "vit-s32": 6.79,
    "vit-b16": 107,
    "vit-b32": 26.3,
    "vit-l16": 373,
    "deit3-s16": 28.2,
    "deit3-b16": 107,
    "deit3-l16": 373,
    "efficientnet-b0": 2.29,
    "efficientnet-b1": 3.4,
    "efficientnet-b2": 3.93,
    "efficientnet-b3": 5.75,
    "efficientnet-b4": 8.99,
    "efficientnet-b5": 14.1,
    "efficientnet-b6": 20.1,
    "efficientnet-b7": 31.0,
    "efficientnetv2-b0": 4.29,
    "efficientnetv2-s": 17.1,
    "efficientnetv2-m": 32.2,
    "efficientnetv2-l": 73.4,
    "convnext-t": 26.9,
    "convnext-s": 52.4,
    "convnext-b": 92.5,
    "nfnet-f0": 56.9,
    "nfnet-f1": 105,
    "nfnet-f2": 152,
    "nfnet-f3": 200,
    "nfnet-f4": 248,
    "nfnet-f5": 295,
    "nfnet-f6": 343,
    "nf-resnet50": 24.3,
    "resnetv2-50": 24.3,
    "resnetv2-101": 46.6,
    "resnetv2-152": 68.8,
    "cifar-resnet20": 0.243,
    "cifar-resnet32": 0.413,
    "cifar-resnet44": 0.583,
    "cifar-resnet56": 0.752,
    "cifar-resnet110": 1.52,
    "cifar-resnet1202": 22.6,
    "cifar-preact164": 1.47,
    "cifar-preact1001": 11.2,
    "cifar-plain20": 0.243,
    "cifar-plain56": 0.752,
    "cifar-plain110": 1.52,
    "mdeq-small": 98.6,
    "mdeq-cifar": 23.8,
}


LOOPED_LAYERS = 200  # a loop over more layers takes minutes to compile
DEEP = {"model.repeat": "scan", "model.remat": "full"}


def defaults(arch: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a network whose defaults are others than those of the section `model`.

    BatchNorm of EfficientNet is that of the authors (efficientnet_builder.py, effnetv2_configs.py), and with
    symmetric padding that of the weights of torchvision and timm. Networks for CIFAR begin with 16 channels
    (arXiv:1512.03385, section 4.2), and hundreds of layers are compiled as one block.

    Args:
      arch: name of the network.
      settings: settings of the run by `section.field`.
    """
    if arch.startswith("cifar-"):
        return {"model.width": 16} | (DEEP if _depth(arch, settings) > LOOPED_LAYERS else {})
    if not arch.startswith("efficientnet"):
        return {}
    second = arch.startswith("efficientnetv2")
    pytorch = settings.get("model.padding") == "symmetric" and not second
    return {"model.bn_epsilon": 1e-5 if pytorch else 1e-3, "model.bn_momentum": 0.9 if second else 0.99}


def _depth(arch: str, settings: Mapping[str, Any]) -> int:
    """Return the layers of a network for CIFAR; 0 where neither its setting nor its name is right."""
    asked = str(settings.get("model.depth", 0))
    return (int(asked) if asked.isdecimal() else 0) or ARCHS.get(arch, ("", {"depth": 0}))[1]["depth"]


# name -> module of trainer.data.formats with ``load(split, config) -> Source``
DATASETS = {"digits": "digits", "fashion-mnist": "idx", "synthetic": "synthetic"}

# libraries whose weights are read and written; timm uses torchvision's names and adds some
LIBRARIES = ("torchvision", "timm")
