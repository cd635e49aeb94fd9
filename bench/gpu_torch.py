"""One measurement of PyTorch's training step, for bench/gpu.py: `gpu_torch.py JSON`; prints one line of JSON.

The keys are library (torchvision or timm), name, side (pixels), batch, seconds and mode (eager or compile).
Layout channels last, autocast to bfloat16, SGD with momentum and label smoothing, as ours.
"""

import importlib
import json
import sys
import time


def main(library: str, name: str, side: int, batch: int, seconds: float, mode: str) -> dict:
    """Warm up and train for so many seconds; return images per second and the peak memory in bytes."""
    import torch
    from torch import nn

    models = importlib.import_module(library)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    if library == "timm":
        model = models.create_model(name, num_classes=1000, img_size=side)
    else:
        model = models.models.get_model(name, num_classes=1000)
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % 1000
    forward = torch.compile(model) if mode == "compile" else model

    def update():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(forward((images.float() / 255 - 0.5) / 0.25), labels)
        loss.backward()
        optimizer.step()
        return loss

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    started = time.perf_counter()
    for _ in range(3):
        loss = update()
    wait()
    warm_seconds = time.perf_counter() - started
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(3):
            loss = update()
            steps += 1
        wait()
    return {
        "images_per_second": steps * batch / (time.perf_counter() - started),
        "compile_seconds": warm_seconds,
        "counted_peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "loss": float(loss.detach()),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
