"""Arrays of equal blocks that are one array between the steps: they are what their rows are."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.stages import Lowered

from trainer.config import ModelConfig, resolve
from trainer.data import datasets, pipeline
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import BatchPlacer
from trainer.models import network, stacks
from trainer.models.architecture import architecture
from trainer.models.repeat import repeat
from trainer.program import Program, make_program
from trainer.state import Arrays, State

BLOCKS, WIDTH = 5, 6
STEPS = 20
LEARNS = {"optim.name": "adamw", "optim.lr": 0.08, "optim.clip_norm": 1.0}  # of a hundred layers


class Block(nnx.Module):
    """A residual branch with BatchNorm."""

    def __init__(self, inputs, rngs: nnx.Rngs):
        self.linear = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.BatchNorm(WIDTH, rngs=rngs)

    def __call__(self, x, train):
        return x + nnx.relu(self.norm(self.linear(x), use_running_average=not train))


class Deep(nnx.Module):
    def __init__(self, inputs, rngs):
        self.model = inputs.model
        self.first = nnx.Linear(inputs.image_size**2 * inputs.channels, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(inputs, rngs) for _ in range(BLOCKS)])
        self.head = nnx.Linear(WIDTH, inputs.classes, rngs=rngs)

    def __call__(self, images, train):
        x = self.first(images.reshape(len(images), -1))
        return self.head(
            repeat(self.blocks, x, None, self.model, lambda block, x, part: block(x, train=train))
        )


@pytest.fixture
def deep(monkeypatch):
    """A network of equal blocks, by its name."""
    from own_code import nets

    made = architecture(settings=["repeat", "remat"])(lambda inputs, rngs: Deep(inputs, rngs))
    monkeypatch.setattr(nets, "deep", made, raising=False)
    return {"model.arch": "own_code.nets:deep", "model.repeat": "scan"}


def program_of(batch=32, **settings) -> Program:
    settings = {"data.name": "digits", "train.batch": batch, "optim.warmup_epochs": 0.0} | settings
    config = resolve("r", "/d", "", settings)
    data = datasets.load(config.data, "train")
    return make_program(config, data, data, "cpu")


def batches(program: Program, steps: int):
    """The first batches of a run, on one device."""
    config = program.config
    data, placer = datasets.load(config.data, "train"), BatchPlacer(one_device(), config.train.batch)
    stream = pipeline.TrainStream(size=data.size, batch=config.train.batch, seed=0)
    for batch in pipeline.train_batches(data, stream, placer.rows, range(steps), config.data):
        yield placer.place(batch)


def one_device():
    return mesh.make_mesh(1, jax.devices()[:1])


def names(tree) -> set[str]:
    return {str(path[-1].key) for path, _ in jax.tree.leaves_with_path(tree) if hasattr(path[-1], "key")}


@pytest.mark.slow
def test_a_stacked_state_is_trained_as_its_rows_are(deep):
    settings = {"optim.ema": 0.9, "train.accumulate": 2, "model.remat": "full"}
    program = program_of(**deep, **settings)
    assert len(program.stacks.members) == 6  # kernel and bias; scale, bias, mean and var of BatchNorm
    state = jax.jit(program.init_state)(program.key)
    stacked = program.stacks.stacked(state)
    assert jax.tree.structure(stacked) == jax.tree.structure(program.stacked_shapes)
    step = jax.jit(program.train_step)
    for batch in batches(program, 4):
        state, metrics = step(state, batch)
        stacked, of_stacked = step(stacked, batch)
        assert float(of_stacked["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)
    assert_equal_but_for_rounding(program, stacked, state)


@pytest.mark.parametrize(
    "settings",
    [
        {"optim.name": "sgd", "optim.nesterov": True},
        {"optim.name": "adamw"},
        {"optim.name": "rmsprop", "optim.clip_norm": 1.0, "optim.decay": "all"},
        {"optim.name": "schedule-free"},
    ],
    ids=lambda settings: settings["optim.name"],
)
def test_an_update_of_stacked_arrays_is_that_of_their_rows(deep, settings):
    program = program_of(**deep, **settings)
    state = jax.jit(program.init_state)(program.key)

    @jax.jit
    def updated(state: State) -> State:
        params, opt = state.params, state.opt
        for turn in (1.0, 2.0, 3.0):
            grads = {name: jnp.sin(turn + 9 * array) for name, array in params.items()}
            updates, opt = cast(Any, program.optimizer.update(grads, opt, cast(Any, params)))
            params = cast(Arrays, optax.apply_updates(params, updates))
        return state._replace(params=params, opt=opt)

    after = updated(state)
    assert any(
        (after.params[n] != state.params[n]).any() for n in program.stacks.members["blocks.0-4.norm.bias"]
    )
    assert_equal_but_for_rounding(program, updated(program.stacks.stacked(state)), after)


def assert_equal_but_for_rounding(program: Program, stacked: State, state: State) -> None:
    separate = program.stacks.separate(stacked)
    assert jax.tree.structure(separate) == jax.tree.structure(program.shapes)
    for a, b in zip(jax.tree.leaves(separate), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"optim.name": "lars"},
        {"optim.name": "lamb"},
        {"optim.name": "muon"},
        {"optim.clip_adaptive": 0.01},
        {"sparse.method": "rigl", "sparse.sparsity": 0.5},
        {"train.freeze": "blocks.1"},
        {"train.shard": "optimizer"},
        {"model.repeat": "loop"},
    ],
    ids=str,
)
def test_what_looks_at_single_arrays_gets_them(deep, settings):
    program = program_of(**deep | settings)
    assert program.stacks.members == {}
    assert program.stacked_shapes == program.shapes


def test_neighbours_of_equal_shapes_are_stacked_under_their_numbers():
    model = ModelConfig(arch="cifar-preact164", depth=47, width=2, repeat="scan")
    members = network.build(model, 10, 1, 8, "cpu")[0].stacks.members
    assert members["blocks.1-4.conv2.kernel"] == tuple(f"blocks.{i}.conv2.kernel" for i in (1, 2, 3, 4))
    # The first block of a stage has a shortcut of its own.
    assert {name.split(".")[1] for name in members} == {"1-4", "6-9", "11-14"}
    kinds = {f"blocks.{i}.{of}": of for i in range(12) for of in ("kernel", "bias")} | {"head.kernel": ""}
    assert stacks.stacks_of(kinds, 12).members.keys() == {"blocks.0-11.kernel", "blocks.0-11.bias"}
    assert stacks.stacks_of(kinds, 13).members == {}
    kinds["blocks.5.kernel"] = "another shape"
    assert stacks.stacks_of(kinds, 4).members.keys() == {
        f"blocks.{numbers}.{of}" for numbers in ("0-4", "6-11") for of in ("kernel", "bias")
    }


def test_rows_are_stacked_again_without_an_operation():
    array = jnp.arange(12.0).reshape(4, 3)

    def again(array):
        with stacks.rows_remembered():
            return stacks.stack(stacks.rows_of(array))

    assert "concatenate" not in jax.jit(again).lower(array).as_text()
    for order in ([3, 2, 1, 0], [0, 1, 2], [0, 0, 1, 2]):

        def chosen(array, order=order):
            with stacks.rows_remembered():
                rows = stacks.rows_of(array)
                return stacks.stack([rows[i] for i in order])

        np.testing.assert_array_equal(jax.jit(chosen)(array), array[jnp.array(order)])
    assert stacks.stack(list(np.asarray(array))).tolist() == array.tolist()
    rows = stacks.rows_of(array)  # on the devices
    assert [row.tolist() for row in rows] == array.tolist()
    assert stacks.stack(rows).tolist() == array.tolist()


def deep_program(depth: int) -> tuple[Program, Lowered]:
    """A network of 9n + 2 layers, and its training step for one device."""
    settings = {"model.arch": "cifar-preact1001", "model.depth": depth, "model.width": 4}
    settings |= {"model.repeat": "scan", "model.remat": "full"}
    program = program_of(32, **settings, **{"optim.schedule": "constant"}, **LEARNS)
    batch = next(batches(program, 1))
    return program, compilation.lower_train(program.train_step, program.stacked_shapes, batch, one_device())


@pytest.mark.slow
def test_the_program_of_a_thousand_and_one_layers_is_that_of_a_few():
    (program, lowered), (_, lowered_of_few) = deep_program(1001), deep_program(74)
    assert len(names(program.shapes.params)) > 2_900
    arrays = len(jax.tree.leaves(program.stacked_shapes))
    assert arrays < 250  # 10,990 by name
    lines = len(lowered.as_text().splitlines())
    assert lines < 10_000  # 81,496 with an array per name
    assert lines == len(lowered_of_few.as_text().splitlines())


def test_a_first_state_made_by_operations_is_that_of_one_program(deep):
    program = program_of(**deep, **{"optim.ema": 0.9})
    shardings = state_sharding.of_state(one_device(), program.shapes, "none")
    by_operation = compilation.init_by_operation(program.init_state, program.key, shardings)
    in_one = compilation.compile_init(program.init_state, program.key, one_device())(program.key)
    assert jax.tree.structure(by_operation) == jax.tree.structure(program.shapes)
    for a, b in zip(jax.tree.leaves(by_operation), jax.tree.leaves(in_one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_a_network_of_stacked_arrays_trains():
    program, lowered = deep_program(74)
    first: State = compilation.compile_init(program.init_state, program.key, one_device())(program.key)
    compiled = lowered.compile()
    leaves, losses = jax.tree.leaves(program.stacks.stacked(first)), []
    for batch in batches(program, STEPS):
        leaves, metrics = compiled(tuple(leaves), batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.03
