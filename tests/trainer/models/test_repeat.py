"""Equal blocks: a scan computes what a loop computes, whatever is kept for the backward pass."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network
from trainer.models.architecture import architecture
from trainer.models.repeat import repeat
from trainer.models.vit import architecture as vit_architecture

BLOCKS, WIDTH = 4, 12


class Block(nnx.Module):
    """A residual branch with BatchNorm and dropout; its rate of skipping comes from outside."""

    def __init__(self, rngs: nnx.Rngs, width: int = WIDTH):
        self.linear = nnx.Linear(width, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x, train, part):
        key, rate = part
        branch = nnx.relu(self.norm(self.linear(x), use_running_average=not train))
        branch = self.dropout(branch, deterministic=not train)
        if key is not None:
            branch = branch * jax.random.bernoulli(key, 1 - rate, (len(x), 1))
        return x + branch


class Deep(nnx.Module):
    def __init__(self, inputs, rngs):
        self.model = inputs.model
        self.first = nnx.Linear(inputs.image_size**2 * inputs.channels, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(BLOCKS)])
        self.head = nnx.Linear(WIDTH, inputs.classes, rngs=rngs)

    def __call__(self, images, train, key=None):
        x = self.first(images.reshape(len(images), -1))
        keys = None if key is None else jax.random.split(key, BLOCKS)
        each = (keys, jnp.linspace(0.0, 0.3, BLOCKS))
        x = repeat(self.blocks, x, each, self.model, lambda block, x, part: block(x, train, part))
        return self.head(x)


@pytest.fixture
def build(monkeypatch):
    """A function that builds the network with settings of the section model."""
    from own_code import nets

    deep = architecture(settings=["repeat", "remat"])(lambda inputs, rngs: Deep(inputs, rngs))
    monkeypatch.setattr(nets, "deep", deep, raising=False)

    def built(**settings):
        return network.build(ModelConfig(arch="own_code.nets:deep", **settings), 5, 1, 8, "cpu")

    return built


def results(built, params, stats):
    net, _ = built
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))

    @jax.jit
    def gradients(params):
        def loss(params):
            logits, after = net.apply(params, stats, images, True, jax.random.key(2))
            return jnp.mean(jnp.square(logits)), (logits, after)

        return jax.value_and_grad(loss, has_aux=True)(params)

    evaluated = jax.jit(lambda params: net.apply(params, stats, images, False)[0])(params)
    return {"train": gradients(params), "evaluated": evaluated}


@pytest.mark.slow
def test_a_scan_computes_what_a_loop_computes(build):
    _, init = build()
    params, stats = init(jax.random.key(0))
    assert "blocks.3.linear.kernel" in params  # a name per block, however they are compiled
    expected = results(build(), params, stats)
    for mode, remat in (("loop", "full"), ("scan", "none"), ("scan", "dots"), ("scan", "full")):
        built = build(repeat=mode, remat=remat)
        assert built[0].variables.keys() == params.keys() | stats.keys()
        got = results(built, params, stats)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_a_scan_is_one_block_in_the_program(build):
    programs = {}
    for mode in ("loop", "scan"):
        net, init = build(repeat=mode)
        params, stats = init(jax.random.key(0))
        images = jnp.zeros((2, 8, 8, 1))

        def logits(params, net=net, stats=stats, images=images):
            return net.apply(params, stats, images, False)[0]

        programs[mode] = str(jax.make_jaxpr(logits)(params))
    products = {mode: program.count("dot_general[") for mode, program in programs.items()}
    assert products == {"loop": BLOCKS + 2, "scan": 1 + 2}


def test_statistics_are_each_block_s_own(build):
    net, init = build(repeat="scan", remat="full")
    params, stats = init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    _, after = net.apply(params, stats, images, True, jax.random.key(2))
    means = [np.asarray(after[f"blocks.{i}.norm.mean"]) for i in range(BLOCKS)]
    assert all(np.abs(mean).max() > 0 for mean in means)
    assert all(np.abs(a - b).max() > 0 for a, b in itertools.pairwise(means))


def test_blocks_that_differ_are_refused():
    blocks = [Block(nnx.Rngs(0)), Block(nnx.Rngs(1), width=WIDTH)]
    blocks[1].dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(2))
    with pytest.raises(ConfigError, match=r"blocks must be equal, block 1 differs from the first"):
        repeat(blocks, jnp.zeros((1, WIDTH)), None, ModelConfig(), lambda block, x, part: x)


def test_a_resnet_does_not_honour_it():
    model = ModelConfig(arch="resnet18")
    for setting in ({"repeat": "scan"}, {"remat": "full"}):
        with pytest.raises(ConfigError, match=r"model\.re\w+: must be '\w+' for resnet18"):
            network.build(dataclasses.replace(model, **setting), 10, 3, 32, "cpu")


@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_a_scan_is_traced_once_whatever_the_depth(monkeypatch, remat):
    """So its compilation takes as long for 24 blocks as for 3; that of a loop grows with them."""
    from own_code import nets

    def products(depth, repeat):
        vit = vit_architecture(patch=4, width=16, depth=depth, heads=2, hidden=32)
        monkeypatch.setattr(nets, "deep", vit, raising=False)
        model = ModelConfig(arch="own_code.nets:deep", repeat=repeat, remat=remat)
        net, init = network.build(model, 5, 1, 8, "cpu")
        params, stats = jax.eval_shape(init, jax.random.key(0))

        def loss(params, images):
            return jnp.sum(net.apply(params, stats, images, True)[0])

        text = jax.jit(jax.grad(loss)).lower(params, jnp.zeros((2, 8, 8, 1))).as_text()
        return text.count("stablehlo.dot_general")

    assert products(3, "scan") == products(9, "scan")
    assert products(9, "loop") > 2 * products(3, "loop")
