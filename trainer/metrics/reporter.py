"""From the metrics of finished steps to what is logged of them."""

import functools
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from jax.stages import Compiled

from trainer.config import TrainConfig
from trainer.cost.utilisation import cost, peak, utilisation
from trainer.metrics.lines import Progress
from trainer.metrics.log import Log
from trainer.metrics.throughput import Meter
from trainer.plan import Plan


class Reporter:
    """Looks at the loss of every finished step, and logs those that are due.

    Args:
      programs: pixels of a step's images -> its compiled program, done by the time a step of it is.
      device_kind: JAX's name of the devices; utilisation is told of those whose peaks are known.
    """

    def __init__(
        self,
        log: Log,
        plan: Plan,
        config: TrainConfig,
        speed: Meter,
        programs: dict[int, Future[Compiled]],
        device_kind: str,
    ):
        self._log, self._plan, self._config, self._speed = log, plan, config, speed
        self._limit = peak(device_kind)
        parts = config.train.accumulate
        tpu = device_kind.startswith("TPU")
        self._cost = functools.cache(lambda pixels: cost(programs[pixels].result(), tpu, parts))

    def __call__(self, ready: Iterator[tuple[int, dict[str, float]]]) -> None:
        plan, config = self._plan, self._config
        for at, values in ready:
            if at % config.log.every_steps and at not in (1, plan.steps):
                continue
            row: dict[str, Any] = {"step": at, "epoch": round(plan.epoch(at), 4), **values}
            row |= {"steps": plan.steps, "epochs": round(plan.epoch(plan.steps), 2)}
            if speed := self._speed.read(at):
                rate, share = speed
                row |= {"images_per_second": round(rate, 1), "data_wait": round(share, 4)}
                if self._limit:
                    each = rate / config.train.batch
                    row |= utilisation(self._cost(plan.resolution(at - 1)), self._limit, each)
                row |= {"eta_seconds": round((plan.steps - at) * config.train.batch / rate, 1)}
            self._log.progress(Progress(**row), self._speed.waited)
