"""The steps at which a run evaluates, saves, changes its resolution and ends."""

import math
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The schedule of a run. All counts are in steps; step s is the state after s updates."""

    steps: int
    steps_per_epoch: float
    eval_every: int  # 0: only at the end
    save_every: int  # 0: with each evaluation
    pixels: tuple[int, int] = (0, 0)  # first and final training resolution; 0: that of the data, no ramp
    ramp: tuple[int, int] = (0, 0)  # last epoch at the first resolution, first epoch at the final one

    def evaluates(self, step: int) -> bool:
        """Return whether the state after ``step`` is evaluated."""
        return step == self.steps or (self.eval_every > 0 and step % self.eval_every == 0)

    def saves(self, step: int) -> bool:
        """Return whether the state after ``step`` is saved without an evaluation."""
        return self.save_every > 0 and step % self.save_every == 0

    def resolution(self, step: int) -> int:
        """Return the height and width in pixels of the images that update the state after ``step``.

        It changes with the epoch; on the ramp it is rounded to a multiple of 32. 0: that of the data.
        """
        (first, last), (begin, end) = self.pixels, self.ramp
        epoch = int(self.epoch(step))
        if not last or epoch <= begin:
            return first
        if epoch >= end:
            return last
        return round((first + (last - first) * (epoch - begin) / (end - begin)) / 32) * 32

    def resolutions(self, start: int = 0) -> list[int]:
        """Return every resolution that occurs from step ``start`` on, in order."""
        epochs = range(int(self.epoch(start)), int(self.epoch(self.steps)) + 1)
        firsts = [start, *(math.ceil(e * self.steps_per_epoch) for e in epochs)]
        return list(dict.fromkeys(self.resolution(s) for s in firsts if start <= s < self.steps))

    def epoch(self, step: int) -> float:
        """Return the passes over the training data that are done after ``step``."""
        return step / self.steps_per_epoch


def make_plan(config: TrainConfig, examples: int) -> Plan:
    """Return the plan of a run; an epoch need not be a whole number of steps.

    Args:
      examples: number of examples per epoch.

    Raises:
      ConfigError: the resolution has a final value but no first one.
    """
    if config.augment.final_resolution and not config.augment.resolution:
        raise ConfigError("augment.resolution: must be set where augment.final_resolution is set, got 0")
    steps_per_epoch = examples / config.train.batch
    return Plan(
        steps=config.train.steps or max(1, round(config.train.epochs * steps_per_epoch)),
        steps_per_epoch=steps_per_epoch,
        eval_every=_steps(config.train.eval_every_epochs, steps_per_epoch),
        save_every=config.checkpoint.every_steps,
        pixels=(config.augment.resolution, config.augment.final_resolution),
        ramp=(config.augment.ramp_from_epoch, config.augment.ramp_to_epoch),
    )


def _steps(epochs: float, steps_per_epoch: float) -> int:
    return max(1, round(epochs * steps_per_epoch)) if epochs else 0
