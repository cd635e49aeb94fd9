"""Which kernels of a network are sparse, and how many weights each of them keeps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.config import SparseConfig, TrainConfig
from trainer.errors import ConfigError

SHOWN = 3  # layers that an error names


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel that is sparse.

    Attributes:
      name: its name in the state.
      shape: its shape; the last two axes are inputs and outputs.
      active: number of its weights that are not zeros.
    """

    name: str
    shape: tuple[int, ...]
    active: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def pattern(config: SparseConfig) -> tuple[int, int] | None:
    """Return (N, M) of the pattern N:M; None where there is none."""
    if config.pattern == "none":
        return None
    kept, _, length = config.pattern.partition(":")
    return int(kept), int(length)


def kernels(config: TrainConfig, shapes: Mapping[str, tuple[int, ...]]) -> list[Kernel]:
    """Return the kernels that the settings make sparse, in the order of their names.

    Depthwise convolutions stay dense, as parameters that ``train.freeze`` names do. So does the first layer,
    unless the distribution is "erk" (Evci et al. 2020, arXiv:1911.11134, section 3).

    Args:
      config: settings of the run.
      shapes: shape of each parameter by name, in the order of the network.

    Raises:
      ConfigError: names every layer that cannot have its sparsity or its pattern.
    """
    sparse = config.sparse
    _check(config)
    chosen = {name: shape for name, shape in shapes.items() if _prunable(name, shape, config.train.freeze)}
    first = _first(shapes)
    if pattern(sparse) or sparse.distribution != "erk":
        chosen.pop(first, None)
    if not chosen:
        raise ConfigError(
            f"sparse.method: must be none for a network that has no kernel to prune, got {sparse.method!r}"
        )
    if divided := pattern(sparse):
        _check_pattern(chosen, divided[1], sparse.pattern)
        return [
            Kernel(name=n, shape=s, active=math.prod(s) * divided[0] // divided[1]) for n, s in chosen.items()
        ]
    shares = (
        _erk(chosen, sparse.sparsity)
        if sparse.distribution == "erk"
        else dict.fromkeys(chosen, sparse.sparsity)
    )
    sizes = {name: math.prod(shape) for name, shape in chosen.items()}
    active = {name: size - math.floor(shares[name] * size + 1e-9) for name, size in sizes.items()}
    if empty := [name for name, count in active.items() if count < chosen[name][-1]]:
        most = min(1 - chosen[name][-1] / sizes[name] for name in empty)
        raise ConfigError(
            f"sparse.sparsity: must leave a layer as many weights as outputs, at most {_floor(most)} for "
            f"{_listed(empty)}, got {sparse.sparsity:g}"
        )
    return [Kernel(name=name, shape=chosen[name], active=count) for name, count in active.items()]


def _floor(share: float) -> str:
    return f"{math.floor(share * 10_000) / 10_000:g}"


def _check(config: TrainConfig) -> None:
    """Raise ConfigError for settings that contradict each other, all of them in one."""
    sparse, problems = config.sparse, []
    if sparse.pattern == "none" and not sparse.sparsity:
        problems.append("sparse.sparsity: must be above 0 without sparse.pattern, got 0")
    if sparse.pattern != "none":
        share = 1 - int(sparse.pattern.partition(":")[0]) / int(sparse.pattern.partition(":")[2])
        if sparse.sparsity not in (0.0, share):
            problems.append(
                f"sparse.sparsity: must be {share:g} or 0 with sparse.pattern={sparse.pattern}, got "
                f"{sparse.sparsity:g}"
            )
        if sparse.distribution == "erk":
            problems.append(
                f"sparse.distribution: must be uniform with sparse.pattern={sparse.pattern}, got 'erk'"
            )
    if sparse.begin > sparse.end:
        problems.append(f"sparse.begin: must be at most sparse.end, {sparse.end:g}, got {sparse.begin:g}")
    if config.optim.name == "schedule-free":
        problems.append("optim.name: must have no average of its own with sparse.method, got 'schedule-free'")
    if problems:
        raise ConfigError("\n".join(problems))


def _prunable(name: str, shape: tuple[int, ...], freeze: str) -> bool:
    frozen = tuple(f"{prefix.strip()}." for prefix in freeze.split(",") if prefix.strip())
    depthwise = len(shape) == 4 and shape[-2] == 1 and math.prod(shape[:2]) > 1
    is_kernel = name.rpartition(".")[2] == "kernel" and len(shape) >= 2
    return is_kernel and not depthwise and not name.startswith(frozen)


def _first(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the kernel of the stem: the one that sees the images."""
    names = [
        name for name, shape in shapes.items() if name.rpartition(".")[2] == "kernel" and len(shape) >= 2
    ]
    stems = [name for name in names if name.startswith(("stem.", "patches.", "embed"))]
    return (stems or names or [""])[0]


def _check_pattern(chosen: Mapping[str, tuple[int, ...]], length: int, text: str) -> None:
    odd = {name: shape[-2] for name, shape in chosen.items() if shape[-2] % length}
    if odd:
        counts = ", ".join(sorted({str(count) for count in odd.values()}, key=int)[:SHOWN])
        raise ConfigError(
            f"sparse.pattern: must divide the inputs of every layer into groups of {length}, got {text!r} "
            f"with {counts} inputs in {_listed(list(odd))}"
        )


def _erk(chosen: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Return the sparsity of each layer: density in proportion to the sum of its axes / their product.

    Erdős-Rényi-Kernel (arXiv:1911.11134, section 3; the authors' sparse_utils.py). Layers whose density would
    pass 1 are dense, and the others share what is left.
    """
    sizes = {name: math.prod(shape) for name, shape in chosen.items()}
    weight = {name: sum(shape) for name, shape in chosen.items()}  # raw density x size
    dense: set[str] = set()
    while True:
        others = [name for name in chosen if name not in dense]
        wanted = (1 - sparsity) * sum(sizes.values()) - sum(sizes[name] for name in dense)
        scale = wanted / sum(weight[name] for name in others)
        full = {name for name in others if scale * weight[name] > sizes[name]}
        if not full:
            shares = {name: 1 - scale * weight[name] / sizes[name] for name in others}
            return {name: shares.get(name, 0.0) for name in chosen}
        # The densest first, as the authors do: the next round's scale is another.
        densest = max(weight[name] / sizes[name] for name in full)
        dense |= {name for name in full if weight[name] / sizes[name] == densest}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
