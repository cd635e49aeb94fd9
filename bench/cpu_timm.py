"""Seconds of training steps of timm's network: `cpu_timm.py NAME PIXELS BATCH MODE`, MODE eager or compile.

Reads lines from stdin; for each one it trains two steps and prints their seconds and core-seconds.
"""

import sys
import time

import timm
import torch
from torch import nn


def main(name: str, side: int, batch: int, mode: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=1000).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 1000
    forward = torch.compile(model) if mode == "compile" else model

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(forward((images.float() / 255 - 0.5) / 0.25), labels).backward()
        optimizer.step()

    for _ in range(2):
        update()
    print("ready", flush=True)
    for line in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            update()
        print(time.perf_counter() - started, time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
