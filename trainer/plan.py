"""The steps at which a run evaluates, saves, changes resolution and augmentation, and ends."""

import dataclasses
import math
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a step does with its images; each stage is a program of its own.

    Attributes:
      pixels: height and width of the training images; 0: as the data have them.
      magnitude, mixup, cutmix: the settings of the section `augment` with these names.
      dropout: ``model.dropout``.
    """

    pixels: int = 0
    magnitude: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The schedule of a run. All counts are in steps; step s is the state after s updates."""

    steps: int
    steps_per_epoch: float
    eval_every: int  # 0: only at the end
    save_every: int  # 0: with each evaluation
    pixels: tuple[int, int] = (0, 0)  # first and final training resolution; 0: that of the data, no ramp
    ramp: tuple[int, int] = (0, 0)  # last epoch at the first resolution, first epoch at the final one
    parts: tuple[Stage, ...] = (Stage(),)  # stages of equal parts of the run; with one, `pixels` counts

    def evaluates(self, step: int) -> bool:
        """Return whether the state after ``step`` is evaluated."""
        return step == self.steps or (self.eval_every > 0 and step % self.eval_every == 0)

    def saves(self, step: int) -> bool:
        """Return whether the state after ``step`` is saved without an evaluation."""
        return self.save_every > 0 and step % self.save_every == 0

    def stage(self, step: int) -> Stage:
        """Return what is done with the images that update the state after ``step``."""
        count = len(self.parts)
        part = self.parts[min(step * count // self.steps, count - 1)]
        return part if count > 1 else dataclasses.replace(part, pixels=self._ramped(step))

    def stages(self, start: int = 0) -> list[Stage]:
        """Return every stage that occurs from step ``start`` on, in order."""
        epochs = range(int(self.epoch(start)), int(self.epoch(self.steps)) + 1)
        firsts = [start, *(math.ceil(e * self.steps_per_epoch) for e in epochs)]
        firsts += [math.ceil(i * self.steps / len(self.parts)) for i in range(len(self.parts))]
        return list(dict.fromkeys(self.stage(s) for s in sorted(firsts) if start <= s < self.steps))

    def resolution(self, step: int) -> int:
        """Return the height and width in pixels of the images that update the state after ``step``.

        0: that of the data.
        """
        return self.stage(step).pixels

    def resolutions(self, start: int = 0) -> list[int]:
        """Return every resolution that occurs from step ``start`` on, in order."""
        return list(dict.fromkeys(stage.pixels for stage in self.stages(start)))

    def _ramped(self, step: int) -> int:
        """The resolution on the ramp of epochs, where it is rounded to a multiple of 32."""
        (first, last), (begin, end) = self.pixels, self.ramp
        epoch = int(self.epoch(step))
        if not last or epoch <= begin:
            return first
        if epoch >= end:
            return last
        return round((first + (last - first) * (epoch - begin) / (end - begin)) / 32) * 32

    def epoch(self, step: int) -> float:
        """Return the passes over the training data that are done after ``step``."""
        return step / self.steps_per_epoch


def make_plan(config: TrainConfig, examples: int) -> Plan:
    """Return the plan of a run; an epoch need not be a whole number of steps.

    Args:
      examples: number of examples per epoch.

    Raises:
      ConfigError: a setting has a final value but no first one, or no stages to rise over.
    """
    augment = config.augment
    if augment.final_resolution and not augment.resolution:
        raise ConfigError("augment.resolution: must be set where augment.final_resolution is set, got 0")
    _check_stages(config)
    steps_per_epoch = examples / config.train.batch
    return Plan(
        steps=config.train.steps or max(1, round(config.train.epochs * steps_per_epoch)),
        steps_per_epoch=steps_per_epoch,
        eval_every=_steps(config.train.eval_every_epochs, steps_per_epoch),
        save_every=config.checkpoint.every_steps,
        pixels=(augment.resolution, augment.final_resolution),
        ramp=(augment.ramp_from_epoch, augment.ramp_to_epoch),
        parts=_parts(config),
    )


RISING = ("magnitude", "mixup", "cutmix", "dropout")


def _check_stages(config: TrainConfig) -> None:
    augment = config.augment
    for name in RISING:
        if getattr(augment, f"final_{name}") and augment.stages < 2:
            raise ConfigError(
                f"augment.stages: must be at least 2 where augment.final_{name} is set, got {augment.stages}",
                "--set augment.stages=4 divides the run into four parts",
            )
    if augment.stages and (augment.ramp_from_epoch or augment.ramp_to_epoch):
        raise ConfigError(
            "augment.ramp_to_epoch: must be 0 where augment.stages is set, got "
            f"{augment.ramp_to_epoch or augment.ramp_from_epoch}",
            "--set augment.stages=0 lets the resolution rise over epochs",
        )


def _parts(config: TrainConfig) -> tuple[Stage, ...]:
    """The stages of equal parts of the run, from the first values to the final ones."""
    augment = config.augment
    firsts = {name: getattr(augment, name) for name in RISING[:-1]} | {"dropout": config.model.dropout}
    lasts = {name: getattr(augment, f"final_{name}") or first for name, first in firsts.items()}
    first_pixels, last_pixels = augment.resolution, augment.final_resolution or augment.resolution
    parts = []
    for i in range(max(augment.stages, 1)):
        share = i / max(augment.stages - 1, 1)
        values = {name: first + (lasts[name] - first) * share for name, first in firsts.items()}
        pixels = round(first_pixels + (last_pixels - first_pixels) * share)
        parts.append(Stage(pixels=pixels, **values))
    return tuple(parts)


def _steps(epochs: float, steps_per_epoch: float) -> int:
    return max(1, round(epochs * steps_per_epoch)) if epochs else 0
