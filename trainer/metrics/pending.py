"""Metrics of steps that the devices have not finished yet, fetched without waiting for them."""

import collections
import math

import jax

from trainer.errors import NonFiniteError

LAG_STEPS = 2  # metrics are read this many steps later, so that no step waits for the copy


class Pending:
    """A queue of steps whose metrics are still being copied from the devices."""

    def __init__(self):
        self._steps: collections.deque[tuple[int, dict[str, jax.Array]]] = collections.deque()

    def push(self, step: int, metrics: dict[str, jax.Array]) -> None:
        with jax.transfer_guard_device_to_host("allow"):  # it is asked for
            for value in metrics.values():
                value.copy_to_host_async()
        self._steps.append((step, metrics))

    def forget(self) -> None:
        """Drop all pending steps, which a rollback repeats."""
        self._steps.clear()

    def ready(self, lag: int = LAG_STEPS):
        """Yield (step, metrics as floats) of all but the newest ``lag`` steps, and wait for no others.

        Raises:
          NonFiniteError: the loss or gradient of a step is not finite; the error states the step.
        """
        while len(self._steps) > lag:
            step, metrics = self._steps.popleft()
            values = {name: float(value) for name, value in jax.device_get(metrics).items()}
            for name in ("loss", "grad_norm"):
                if not math.isfinite(values[name]):
                    raise NonFiniteError(
                        step,
                        f"{name} must be finite, got {values[name]} at step {step}",
                        "lower optim.lr or lengthen optim.warmup_epochs; the last checkpoint is kept",
                    )
            yield step, values
