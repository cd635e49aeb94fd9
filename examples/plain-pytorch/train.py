"""A plain PyTorch program: data parallel over all hosts, saved, resumed, and followed by its lines.

`init_process_group` reads the variables that the launcher sets; it needs no arguments but the backend.
"""

import os
import pathlib
import signal
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

STEPS, BATCH, PREEMPTED = int(os.environ.get("STEPS", "200")), 64, 42


def main() -> int:
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    signals = []
    signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    step = load(network, optimizer, device)
    model = DistributedDataParallel(network)
    began, done = time.monotonic(), step
    while step < STEPS:
        points, labels = spirals(BATCH, step * dist.get_world_size() + dist.get_rank(), device)
        loss = torch.nn.functional.cross_entropy(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        ending = torch.tensor(float(bool(signals)), device=device)
        dist.all_reduce(ending)  # all hosts save the same step
        if ending or step % 20 == 0 or step == STEPS:
            if dist.get_rank() == 0:
                save(step, network, optimizer)
                left = (time.monotonic() - began) / (step - done) * (STEPS - step)
                print(
                    f"progress step={step} steps={STEPS} loss={loss.item():.4f} eta_seconds={left:.0f}",
                    flush=True,
                )
            dist.barrier()
        if ending:
            return PREEMPTED
    if dist.get_rank() == 0:
        points, labels = spirals(2000, -1, device)
        accuracy = (network(points).argmax(-1) == labels).float().mean().item()
        print(f"evaluate step={step} accuracy={accuracy:.4f}", flush=True)
    return 0


def spirals(count: int, seed: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of two spirals, [count, 2] float32, and which of them each is on, [count] int64."""
    draw = torch.Generator().manual_seed(seed + 2)
    labels = torch.randint(2, (count,), generator=draw)
    radius = torch.rand(count, generator=draw)
    angle = 4 * radius + 3.14159 * labels
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return points.to(device), labels.to(device)


def checkpoint() -> pathlib.Path:
    return pathlib.Path(os.environ["RESNET_RUN_DIR"]) / "checkpoint.pt"


def load(network: torch.nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Restore the checkpoint, if there is one; return its step."""
    if not checkpoint().exists():
        return 0
    state = torch.load(checkpoint(), map_location=device)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def save(step: int, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the checkpoint; a reader sees the old one or the new one."""
    new = checkpoint().with_suffix(".new")
    new.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, new)
    new.replace(checkpoint())


if __name__ == "__main__":
    raise SystemExit(main())
