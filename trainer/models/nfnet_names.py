"""Names and layouts of timm for networks without normalisation (dm_nfnet_f0 to f6, nf_resnet50)."""

import re

import numpy as np

from trainer.models.architecture import Foreign, from_oihw, stage_of

LEAVES = {"kernel": "weight", "bias": "bias", "gain": "gain"}
LAYERS = {
    "conv1": "conv1",
    "conv2": "conv2",
    "conv3": "conv2b",
    "out": "conv3",
    "shortcut": "downsample.conv",
    "squeeze.reduce": "attn_last.fc1",
    "squeeze.expand": "attn_last.fc2",
}


def timm(depths: tuple[int, ...], pooled_stem: bool) -> Foreign:
    """Return timm's names and layouts.

    Args:
      depths: blocks of each stage.
      pooled_stem: whether the stem is one convolution and max pooling.
    """

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        if match := re.fullmatch(r"blocks\.(\d+)(?:\.([\w.]+))?", path):
            stage, index = stage_of(depths, int(match[1]))
            block = f"stages.{stage}.{index}"
            return f"{block}.{LAYERS[match[2]]}.{LEAVES[leaf]}" if match[2] else f"{block}.skipinit_gain"
        if match := re.fullmatch(r"stem\.convs\.(\d)", path):
            number = "" if pooled_stem else str(int(match[1]) + 1)
            return f"stem.conv{number}.{LEAVES[leaf]}"
        return f"{({'last': 'final_conv', 'head': 'head.fc'})[path]}.{LEAVES[leaf]}"

    return Foreign(
        name=name,
        anchor="stem.conv.gain" if pooled_stem else "stem.conv1.gain",
        head="head.fc.weight",
        head_bias="head.fc.bias",
        read=_read,
        write=_write,
    )


def _read(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return array.reshape(-1) if name.endswith(".gain") else from_oihw(name, array, shape)


def _write(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if name.endswith(".gain"):
        return array.reshape(-1, 1, 1, 1)
    if array.ndim == 2 and ".squeeze." in name:
        return array.T[:, :, None, None]  # theirs is a 1x1 convolution
    return array.T if array.ndim == 2 else array
