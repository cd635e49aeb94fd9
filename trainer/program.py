"""The functions that the devices of a run execute, built from its settings and compiled ahead."""

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
from trainer.rundir.dataset import DatasetRecord
from trainer.state import EvalStep, State, TrainStep


@dataclass(frozen=True, kw_only=True)
class Program:
    """The pure functions of a run and the shapes of their arguments.

    Attributes:
      plan: when the run evaluates, saves and ends.
      train_steps: resolution in pixels -> training step, in the order of the plan.
      eval_step: step of an evaluation, over one batch.
      init_state: ``init_state(key) -> State``, the state before the first update.
      key: random key from ``train.seed``.
      shapes: State of ShapeDtypeStruct.
      image_size: height and width of the decoded images, in pixels.
      config: settings of the run.
      optimizer: update rule, for the shapes of its state.
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
        """The training step of the last resolution."""
        return list(self.train_steps.values())[-1]


def make_program(config: TrainConfig, train_source: Source, test_source: Source, platform: str) -> Program:
    """Build the program of a run.

    Args:
      config: settings of the run.
      train_source: training data, for its size and shapes.
      test_source: test data, for its normalisation.
      platform: "cpu", "gpu" or "tpu": the devices that will run it, which decide the dtype "auto".

    Raises:
      ConfigError: the settings contradict each other or the images of the data.
    """
    plan = make_plan(config, train_source.size)
    height, _, channels = train_source.image_shape
    if (largest := max(plan.resolutions(), default=0)) > height:
        raise ConfigError(
            f"augment.resolution: must be at most the {height} pixels of the images of "
            f"'{train_source.name}', got {largest}",
            "the recipe is for larger images; --set augment.resolution=0 trains at their own resolution",
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


def state_shapes(config: TrainConfig, dataset: DatasetRecord) -> State:
    """Return the state of a run as ShapeDtypeStruct, as its checkpoints hold it; no data is read.

    Raises:
      ConfigError: the settings contradict each other.
    """
    channels = len(dataset.mean)
    _, init = network.build(config.model, len(dataset.class_names), channels, dataset.image_size, "cpu")
    # The state of an optimizer counts steps whatever its schedule is.
    optimizer = optimizers.make_optimizer(config.optim, optax.constant_schedule(0.0))
    return jax.eval_shape(step.make_init(init, optimizer, config.optim), jax.random.key(config.train.seed))
