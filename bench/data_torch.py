"""torchvision's DataLoader: `data_torch.py pil|io PATH WORKERS SECONDS`; uint8, as ours."""

import itertools
import sys

import torch
from data_clock import measure
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2


def load(path: str) -> torch.Tensor:
    return decode_image(read_file(path), mode=ImageReadMode.RGB)


def main(mode: str, path: str, workers: int, seconds: float) -> None:
    torch.set_num_threads(1)
    crop = v2.RandomResizedCrop(224, antialias=True)
    if mode == "pil":
        data = ImageFolder(f"{path}/train", v2.Compose([crop, v2.PILToTensor()]))
    else:
        data = ImageFolder(f"{path}/train", crop, loader=load)
    loader = torch.utils.data.DataLoader(
        data, 64, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True
    )
    images = (batch for _ in itertools.count() for batch, _ in loader)
    measure(images, 2 * workers + 2, seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
