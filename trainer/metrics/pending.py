"""Losses of steps that the devices have not finished yet, fetched without waiting for them."""

import collections
import math

import jax

from trainer.errors import NonFiniteError

LAG_STEPS = 2  # a loss is fetched this many steps after it was asked for, so that no step waits for it


class Pending:
    """Metrics of steps whose values are still on their way from the devices."""

    def __init__(self):
        self._steps: collections.deque[tuple[int, dict[str, jax.Array]]] = collections.deque()

    def push(self, step: int, metrics: dict[str, jax.Array]) -> None:
        for value in metrics.values():
            value.copy_to_host_async()
        self._steps.append((step, metrics))

    def forget(self) -> None:
        self._steps.clear()

    def ready(self, lag: int = LAG_STEPS):
        """Yields (step, metrics as floats) of all but the newest ``lag`` steps; waits for those only.

        Raises:
          NonFiniteError: names the step whose loss or gradient is not finite.
        """
        while len(self._steps) > lag:
            step, metrics = self._steps.popleft()
            values = {name: float(value) for name, value in metrics.items()}
            for name in ("loss", "grad_norm"):
                if not math.isfinite(values[name]):
                    raise NonFiniteError(
                        step,
                        f"{name} must be finite, got {values[name]} at step {step}",
                        "lower optim.lr or lengthen optim.warmup_epochs; the last checkpoint is kept",
                    )
            yield step, values
