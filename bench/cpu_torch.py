"""Examples per second and per core-second of PyTorch's training: `cpu_torch.py ARCH PIXELS BATCH SECONDS`.

A ResNet follows arXiv:1512.03385 (version 1.5), with the stem for small images up to 64 pixels; vit-ti16 is
timm's.
"""

import sys
import time

import timm
import torch
from torch import nn

SIZES = {"resnet18": (False, (2, 2, 2, 2)), "resnet50": (True, (3, 4, 6, 3))}


def conv_norm(cin: int, cout: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, size, stride, size // 2, bias=False), nn.BatchNorm2d(cout))


class Block(nn.Module):
    def __init__(self, cin: int, width: int, stride: int, deep: bool):
        super().__init__()
        self.cout = width * (4 if deep else 1)
        if deep:
            layers = [conv_norm(cin, width, 1, 1), nn.ReLU(), conv_norm(width, width, 3, stride), nn.ReLU()]
            layers.append(conv_norm(width, self.cout, 1, 1))
        else:
            layers = [conv_norm(cin, width, 3, stride), nn.ReLU(), conv_norm(width, width, 3, 1)]
        self.body = nn.Sequential(*layers)
        same = cin == self.cout and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(cin, self.cout, 1, stride)

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def build(arch: str, side: int) -> nn.Module:
    if arch == "vit-ti16":
        return timm.create_model("vit_tiny_patch16_224", num_classes=1000, img_size=side)
    deep, stages = SIZES[arch]
    small = side <= 64
    layers: list[nn.Module] = [conv_norm(3, 64, 3 if small else 7, 1 if small else 2), nn.ReLU()]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    features = 64
    for stage, size in enumerate(stages):
        for i in range(size):
            block = Block(features, 64 * 2**stage, 2 if stage and not i else 1, deep)
            layers.append(block)
            features = block.cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 1000))


def main(arch: str, side: int, batch: int, seconds: float) -> tuple[float, float]:
    """Warm up and train for this many seconds; return examples per second and per core-second."""
    torch.manual_seed(0)
    model = build(arch, side).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 1000

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(model((images.float() / 255 - 0.5) / 0.25), labels).backward()
        optimizer.step()

    for _ in range(2):
        update()
    started, used, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        update()
        steps += 1
    examples = steps * batch
    return examples / (time.perf_counter() - started), examples / (time.process_time() - used)


if __name__ == "__main__":
    print(*main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
