"""The programs of a run, built from its configuration: what the devices run, and what is compiled ahead."""

from dataclasses import dataclass
from typing import Any

import jax
import optax

from trainer.config import TrainConfig
from trainer.data.source import Source
from trainer.errors import ConfigError
from trainer.learning import optimizers, step
from trainer.models import network
from trainer.plan import Plan, make_plan
from trainer.state import EvalStep, State, TrainStep


@dataclass(frozen=True, kw_only=True)
class Program:
    """Pure functions and the shapes that they work on.

    ``init_state(key) -> State``; ``shapes`` is a State of ShapeDtypeStruct; ``train_steps`` has one step for
    each resolution of the plan, and ``train_step`` is the last of them.
    """

    plan: Plan
    train_steps: dict[int, TrainStep]
    eval_step: EvalStep
    init_state: Any
    key: jax.Array
    shapes: State
    image_size: int
    config: TrainConfig
    optimizer: optax.GradientTransformation

    @property
    def train_step(self) -> TrainStep:
        return list(self.train_steps.values())[-1]


def make_program(config: TrainConfig, train_source: Source, test_source: Source, platform: str) -> Program:
    """platform: "cpu", "gpu" or "tpu", of the devices that will run it; decides what dtype "auto" is.

    Raises:
      ConfigError: the settings contradict each other, or the images of the data.
    """
    plan = make_plan(config, train_source.size)
    height, _, channels = train_source.image_shape
    if (largest := max(plan.resolutions(), default=0)) > height:
        raise ConfigError(
            f"augment.resolution: must be at most the {height} pixels of the images of "
            f"'{train_source.name}', got {largest}",
            "a recipe for larger images sets it; --set augment.resolution=0 takes the images as they come",
        )
    batch = config.train.batch // config.train.accumulate
    net, init = network.build(config.model, train_source.num_classes, channels, height, platform, batch)
    schedule = optimizers.make_schedule(config.optim, config.train.batch, plan.steps, plan.steps_per_epoch)
    optimizer = optimizers.make_optimizer(config.optim, schedule)
    init_state, key = step.make_init(init, optimizer, config.optim), jax.random.key(config.train.seed)
    return Program(
        plan=plan,
        train_steps={
            pixels: step.make_train_step(net, optimizer, schedule, train_source, config, pixels)
            for pixels in plan.resolutions() or [0]
        },
        eval_step=step.make_eval_step(net, test_source),
        init_state=init_state,
        key=key,
        shapes=jax.eval_shape(init_state, key),
        image_size=height,
        config=config,
        optimizer=optimizer,
    )
