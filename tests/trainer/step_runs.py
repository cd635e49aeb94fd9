"""The parts of a small run in this process, as a test puts them together."""

import functools

import jax
import numpy as np

from trainer.config import resolve
from trainer.data import datasets, pipeline
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import BatchPlacer
from trainer.devices.cpu_cache import Executables
from trainer.learning import optimizers, sparse, step
from trainer.models import network
from trainer.models.stacks import Stacks
from trainer.program import may_stack

SETTINGS = {
    "model.arch": "resnet-tiny",
    "model.width": 8,
    "data.name": "digits",
    "data.shift_pixels": 1,
    "data.flip": True,
    "train.batch": 32,
    "optim.warmup_epochs": 0.0,
}


class Programs(Executables):
    """The programs of this process: of two that are equal, the first is compiled."""

    def __init__(self):
        super().__init__(None)
        self._programs = {}

    def compile(self, lowered, name):
        key = lowered.as_text(), lowered.in_tree, lowered.out_tree
        if key not in self._programs:
            self._programs[key] = lowered.compile()
        return self._programs[key]


PROGRAMS = Programs()


class Run:
    """All parts of a run on the first ``devices`` devices, in ``slices`` slices.

    A step is compiled when it is first used.
    """

    def __init__(self, devices, slices=1, **settings):
        self.config = resolve("r", "/d", "", SETTINGS | settings)
        self.mesh = mesh.make_mesh(slices, jax.devices()[:devices], self.config.mesh.model)
        self.data = datasets.load(self.config.data, "train")
        self.net, init = network.build(self.config.model, 10, 1, 8, "cpu", 32 // self.config.train.accumulate)
        schedule = optimizers.make_schedule(self.config.optim, 32, 100, 45)
        optimizer = optimizers.make_optimizer(self.config.optim, schedule)
        optimizer = sparse.wrap(optimizer, self.config, 100)
        init_state = step.make_init(init, optimizer, self.config.optim)
        self.shapes = jax.eval_shape(init_state, jax.random.key(0))
        self.shardings = state_sharding.of_state(
            self.mesh, self.shapes, self.config.train.shard, self.net.division
        )
        self.stacks = self.net.stacks if may_stack(self.config) else Stacks({})
        self.stacked_shapes = jax.eval_shape(self.stacks.stacked, self.shapes)
        self.placer = BatchPlacer(self.mesh, 32)
        self.stream = pipeline.TrainStream(size=self.data.size, batch=32, seed=0)
        self.test = datasets.load(self.config.data, "test")
        self.train_step = step.make_train_step(self.net, optimizer, schedule, self.data, self.config)
        key = jax.random.key(0)
        self.state = compilation.compile_init(init_state, key, self.mesh, self.shardings, PROGRAMS)(key)

    @functools.cached_property
    def train(self):
        return compilation.compile_train(
            *(self.train_step, self.stacked_shapes, self.batch_shapes(self.batches(1)), self.mesh),
            executables=PROGRAMS,
            shard=self.config.train.shard,
            division=self.net.division,
        )

    @functools.cached_property
    def evaluate(self):
        eval_step = step.make_eval_step(self.net, self.test)
        shapes = self.batch_shapes(self.eval_batches())
        return compilation.compile_eval(
            eval_step, self.shapes, shapes, self.mesh, PROGRAMS, self.net.division
        )

    def batches(self, steps):
        return pipeline.train_batches(
            self.data, self.stream, self.placer.rows, range(steps), self.config.data
        )

    def eval_batches(self):
        return pipeline.eval_batches(self.test, 32, self.placer.rows, self.config.data)

    @staticmethod
    def batch_shapes(batches):
        return compilation.batch_shapes(next(batches), 32)

    def losses(self, steps):
        leaves, losses = tuple(jax.tree.leaves(self.stacks.stacked(self.state))), []
        for batch in self.batches(steps):
            leaves, metrics = self.train(leaves, self.placer.place(batch))
            losses.append(float(metrics["loss"]))
        stacked = jax.tree.unflatten(jax.tree.structure(self.stacked_shapes), leaves)
        self.state = self.stacks.separate(stacked)
        return losses

    def totals(self):
        gathered = state_sharding.gatherer_for_evaluation(
            self.mesh, self.shapes, self.config.train.shard, self.net.division
        )
        leaves = tuple(jax.tree.leaves(gathered((self.state.params, self.state.stats))))
        sums = [self.evaluate(leaves, self.placer.place(batch)) for batch in self.eval_batches()]
        return {name: sum(np.asarray(s[name]).item() for s in sums) for name in sums[0]}
