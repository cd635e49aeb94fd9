"""The logged metrics of finished steps, with throughput, utilisation and time left."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from jax.stages import Compiled

from trainer.config import TrainConfig
from trainer.cost.utilisation import cost, peak, utilisation
from trainer.errors import TrainError
from trainer.metrics import expected
from trainer.metrics.hosts import HostTimes
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
      hosts: times of all hosts.
      slices: of the run; host_devices: of each host.
      record: gets the estimated throughput once, in images/s over all devices, where log.predicted is 0.
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
        hosts: HostTimes | None = None,
        slices: int = 1,
        host_devices: int = 1,
        record: Callable[[float], None] | None = None,
    ):
        self._log, self._plan, self._config, self._speed = log, plan, config, speed
        self._hosts, self._slices, self._host_devices = hosts, slices, host_devices
        self._record = record
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
                row |= self._against_prediction(rate, waiting, plan.stage(step - 1))
                row |= {"eta_seconds": round((plan.steps - step) * config.train.batch / rate, 1)}
            self._log.progress(Progress(**row), self._speed.waited)

    def predicted(self, stage: Stage) -> float | None:
        """Return images/s over all devices: log.predicted, else an estimate; None where none is known.

        The program of the stage must have been compiled.
        """
        if self._config.log.predicted or not self._limit:
            return self._config.log.predicted or None
        batch, cost = self._config.train.batch, self._cost(stage)
        return expected.estimated(cost, self._limit, batch, self._slices, self._host_devices)

    def _against_prediction(self, rate: float, waiting: float, stage: Stage) -> dict[str, Any]:
        """Return the predicted throughput and, where the measured one is far below it, the likely cause."""
        predicted = self.predicted(stage)
        if not predicted:
            return {}
        if self._record and not self._config.log.predicted:
            with contextlib.suppress(TrainError):  # metrics.jsonl has it in each row
                self._record(predicted)
            self._record = None
        window = expected.Window(
            data=waiting,
            compiling=self._speed.compiling,
            hosts=self._hosts.newest if self._hosts else (),
            count=self._hosts.count if self._hosts else 1,
        )
        slow = expected.cause(rate, predicted, window)
        return {"predicted": round(predicted, 1)} | ({"slow": slow} if slow else {})
