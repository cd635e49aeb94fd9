"""When a run evaluates, saves and ends, counted in steps."""

from dataclasses import dataclass

from trainer.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All numbers are steps; step s is the state after s updates."""

    steps: int
    steps_per_epoch: float
    eval_every: int  # 0: only at the end
    save_every: int  # 0: with each evaluation

    def evaluates(self, step: int) -> bool:
        return step == self.steps or (self.eval_every > 0 and step % self.eval_every == 0)

    def saves(self, step: int) -> bool:
        return self.save_every > 0 and step % self.save_every == 0

    def epoch(self, step: int) -> float:
        return step / self.steps_per_epoch


def make_plan(config: TrainConfig, examples: int) -> Plan:
    """examples: of one epoch. An epoch need not be a whole number of steps."""
    steps_per_epoch = examples / config.train.batch
    return Plan(
        steps=config.train.steps or max(1, round(config.train.epochs * steps_per_epoch)),
        steps_per_epoch=steps_per_epoch,
        eval_every=_steps(config.train.eval_every_epochs, steps_per_epoch),
        save_every=config.checkpoint.every_steps,
    )


def _steps(epochs: float, steps_per_epoch: float) -> int:
    return max(1, round(epochs * steps_per_epoch)) if epochs else 0
