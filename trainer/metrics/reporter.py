"""The logged metrics of finished steps, with throughput, utilisation and time left."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from jax.stages import Compiled

from trainer.config import TrainConfig
from trainer.cost.utilisation import cost, peak, utilisation
from trainer.metrics.lines import Progress
from trainer.metrics.log import Log
from trainer.metrics.throughput import Meter
from trainer.plan import Plan, Stage


class Reporter:
    """Logs every ``log.every_steps``-th finished step, the first and the last.

    Args:
      log: where the metrics go.
      plan: steps and epochs of the run.
      config: settings of the run.
      speed: throughput since the previous report.
      programs: stage -> compiled step, done before the first step of that stage is.
      device_kind: JAX's name for the devices; utilisation is logged only if their peaks are known.
      loop_factor: stage -> what a count that takes each loop for one iteration lacks; asked
        only where the cost comes from such a count.
    """

    def __init__(
        self,
        log: Log,
        plan: Plan,
        config: TrainConfig,
        speed: Meter,
        programs: dict[Stage, Future[Compiled]],
        device_kind: str,
        loop_factor: Callable[[Stage], float],
    ):
        self._log, self._plan, self._config, self._speed = log, plan, config, speed
        self._limit = peak(device_kind)
        tpu = device_kind.startswith("TPU")
        self._cost = functools.cache(
            lambda stage: cost(programs[stage].result(), tpu, 1.0 if tpu else loop_factor(stage))
        )

    def __call__(self, ready: Iterator[tuple[int, dict[str, float]]]) -> None:
        """Consume (step, metrics) of all finished steps."""
        plan, config = self._plan, self._config
        for step, values in ready:
            if step % config.log.every_steps and step not in (1, plan.steps):
                continue
            row: dict[str, Any] = {"step": step, "epoch": round(plan.epoch(step), 4), **values}
            row |= {"steps": plan.steps, "epochs": round(plan.epoch(plan.steps), 2)}
            if speed := self._speed.read(step):
                rate, waiting = speed
                row |= {"images_per_second": round(rate, 1), "data_wait": round(waiting, 4)}
                if self._limit:
                    steps_per_second = rate / config.train.batch
                    step_cost = self._cost(plan.stage(step - 1))
                    row |= utilisation(step_cost, self._limit, steps_per_second)
                row |= {"eta_seconds": round((plan.steps - step) * config.train.batch / rate, 1)}
            self._log.progress(Progress(**row), self._speed.waited)
