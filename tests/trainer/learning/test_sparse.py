"""Sparse training: which layers, how many weights, and masks that an optimizer carries from step to step."""

import jax
import numpy as np
import optax
import pytest
from models.families import FAMILIES

from trainer.config import resolve
from trainer.errors import ConfigError
from trainer.learning import sparse, sparse_cost, sparsity, step
from trainer.learning.optimizers import make_optimizer
from trainer.models import network

SHAPES = {
    "blocks.0.conv.kernel": (3, 3, 8, 16),
    "blocks.0.depthwise.kernel": (3, 3, 1, 16),
    "blocks.0.norm.scale": (16,),
    "blocks.1.conv.kernel": (1, 1, 16, 16),
    "head.bias": (10,),
    "head.kernel": (16, 10),
    "stem.conv.kernel": (3, 3, 3, 8),
}
STEPS = 12


def configured(**settings):
    defaults = {
        "sparse.sparsity": 0.8,
        "sparse.every_steps": 2,
        "sparse.end": 0.75,
        "optim.warmup_epochs": 0.0,
    }
    if settings.get("pattern"):
        defaults.pop("sparse.sparsity")
    named = {f"sparse.{name}" if "." not in name else name: value for name, value in settings.items()}
    return resolve("r", "/d", "", defaults | named)


def started(config):
    optimizer = sparse.wrap(make_optimizer(config.optim, optax.constant_schedule(0.1)), config, STEPS)
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    params = {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, SHAPES.items(), strict=True)}
    state = jax.jit(step.make_init(lambda key: (params, {}), optimizer))(jax.random.key(0))

    @jax.jit
    def after(params, opt, number):
        key = jax.random.fold_in(jax.random.key(7), number)
        grads = {
            name: jax.random.normal(jax.random.fold_in(key, i), s)
            for i, (name, s) in enumerate(SHAPES.items())
        }
        updates, opt = optimizer.update(grads, opt, params)
        return optax.apply_updates(params, updates), opt, grads

    return state.params, state.opt, after


def active(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


# 20 % of 1,152, 256 and 160 weights, rounded up; the stem and the depthwise convolution are dense.
UNIFORM = {"blocks.0.conv.kernel": 231, "blocks.1.conv.kernel": 52, "head.kernel": 32}


@pytest.mark.parametrize(
    ("method", "optimizer"), [("static", "sgd"), ("set", "lars"), ("rigl", "muon"), ("rigl", "adamw")]
)
def test_the_number_of_weights_is_exact_at_every_step(method, optimizer):
    params, opt, after = started(configured(**{"method": method, "optim.name": optimizer}))
    masks = [opt.masks]
    for number in range(STEPS):
        assert active(opt.masks) == UNIFORM
        for name, mask in opt.masks.items():
            assert not np.asarray(params[name])[~np.asarray(mask)].any(), (number, name)
        assert np.all(params["blocks.0.depthwise.kernel"])
        assert np.all(params["stem.conv.kernel"])
        params, opt, _ = after(params, opt, number)
        masks.append(opt.masks)
    changed = [
        number + 1
        for number in range(STEPS)
        if any(np.any(masks[number][name] != masks[number + 1][name]) for name in UNIFORM)
    ]
    # Each second step before 0.75 x 12 = 9; at the eighth too few weights move.
    assert changed == ([] if method == "static" else [2, 4, 6]) or changed == [2, 4, 6, 8]
    assert bool(changed) == (method != "static")


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    params, opt, after = started(configured(method="rigl"))
    params, opt, _ = after(params, opt, 0)
    new_params, new_opt, grads = after(params, opt, 1)
    for name, count in UNIFORM.items():
        before, now = np.asarray(opt.masks[name]), np.asarray(new_opt.masks[name])
        moved = int(
            np.floor(np.float32(0.15) * (1 + np.cos(np.pi * 2 / 9)) * count)
        )  # 0.3, after 2 of 9 steps
        lost, grown = before & ~now, now & ~before
        assert lost.sum() == grown.sum() <= moved
        assert moved > 0
        candidates = np.abs(np.asarray(grads[name]))[~now]
        assert np.abs(np.asarray(grads[name]))[grown].min() >= candidates.max()
        assert not np.asarray(new_params[name])[grown].any()  # they begin at 0
        inner = [leaf for leaf in jax.tree.leaves(new_opt.rule) if leaf.shape == now.shape]
        assert inner
        assert all(not np.asarray(leaf)[grown].any() for leaf in inner)  # without momentum


def test_a_magnitude_schedule_is_cubic_and_ends_exact():
    params, opt, after = started(configured(method="magnitude", begin=0.25, end=0.75))
    counts = []
    for number in range(STEPS):
        params, opt, _ = after(params, opt, number)
        counts.append(active(opt.masks)["blocks.0.conv.kernel"])
        assert not np.asarray(params["head.kernel"])[~np.asarray(opt.masks["head.kernel"])].any()
    # 921 zeros in the end. Steps 3, 5, 7 and 9: none, 1 - (2/3)^3 = 19/27, 26/27 and all of them.
    zeros = [0, 0, 0, 0, 648, 648, 886, 886, 921, 921, 921, 921]
    assert counts == [1152 - count for count in zeros]
    assert active(opt.masks)["head.kernel"] == 32


@pytest.mark.parametrize(("method", "pattern"), [("rigl", "2:4"), ("set", "4:8"), ("magnitude", "2:4")])
def test_a_pattern_holds_in_each_group_of_inputs(method, pattern):
    params, opt, after = started(configured(method=method, pattern=pattern))
    kept, length = map(int, pattern.split(":"))
    first = opt.masks
    for number in range(STEPS):
        params, opt, _ = after(params, opt, number)
        if method == "magnitude" and number < 8:  # dense until the first change
            continue
        for name, mask in opt.masks.items():
            *_, inputs, outputs = mask.shape
            groups = np.asarray(mask).reshape(-1, inputs // length, length, outputs)
            assert (groups.sum(2) == kept).all(), (number, name)
    moved = any(np.any(first[name] != opt.masks[name]) for name in first)
    assert moved == (method != "static")


def test_masks_depend_on_seed_and_step_alone():
    masks = []
    for seed in (0, 0, 1):
        params, opt, after = started(configured(**{"method": "set", "train.seed": seed}))
        for number in range(3):
            params, opt, _ = after(params, opt, number)
        masks.append(np.asarray(opt.masks["head.kernel"]))
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


@pytest.mark.parametrize("sparse_share", [0.5, 0.8, 0.9])
def test_erk_has_the_total_and_gives_large_layers_more_zeros(sparse_share):
    shapes = {f"blocks.{i}.conv.kernel": (3, 3, 2**i, 2**i) for i in range(4, 9)} | {
        "stem.conv.kernel": (3, 3, 3, 16)
    }
    config = configured(method="static", distribution="erk", sparsity=sparse_share)
    layers = sparsity.kernels(config, shapes)
    total = sum(layer.size for layer in layers)
    assert {layer.name for layer in layers} == set(shapes)
    assert sum(layer.active for layer in layers) == pytest.approx((1 - sparse_share) * total, abs=len(layers))
    density = [layer.active / layer.size for layer in layers[:-1]]
    assert density == sorted(density, reverse=True)
    assert max(density) <= 1
    # By hand: density in proportion to sum / product of the axes, where none is full.
    free = [layer for layer in layers if layer.active < layer.size]
    scales = [layer.active / sum(layer.shape) for layer in free]
    assert max(scales) / min(scales) < 1.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "rigl", "sparsity": 0.0}, "must be above 0 without sparse.pattern, got 0"),
        ({"method": "static", "sparsity": 0.95},
         "at most 0.9375 for blocks.1.conv.kernel, head.kernel, got 0.95"),
        ({"method": "magnitude", "sparsity": 0.99},
         "at most 0.9375 for blocks.0.conv.kernel, blocks.1.conv.kernel, head.kernel, got 0.99"),
        ({"method": "rigl", "pattern": "2:4", "sparsity": 0.8}, "must be 0.5 or 0 with sparse.pattern=2:4"),
        ({"method": "rigl", "pattern": "4:8", "distribution": "erk"}, "sparse.distribution: must be uniform"),
        ({"method": "magnitude", "begin": 0.9}, "sparse.begin: must be at most sparse.end, 0.75, got 0.9"),
        ({"method": "set", "optim.name": "schedule-free"}, "optim.name: must have no average of its own"),
        ({"method": "set", "train.freeze": "blocks,head,stem"}, "sparse.method: must be none for a network"),
    ],
)  # fmt: skip
def test_what_a_layer_cannot_have_is_one_error(settings, message):
    with pytest.raises(ConfigError) as caught:
        sparsity.kernels(configured(**settings), SHAPES)
    assert message in str(caught.value)
    assert str(caught.value).startswith(("sparse.", "optim."))


@pytest.mark.parametrize(("pattern", "inputs"), [("2:4", 6), ("4:8", 12), ("2:4", 1)])
def test_a_pattern_that_does_not_divide_names_the_layer(pattern, inputs):
    shapes = {**SHAPES, "blocks.2.conv.kernel": (1, 1, inputs, 16)}
    with pytest.raises(ConfigError) as caught:
        sparsity.kernels(configured(method="rigl", pattern=pattern), shapes)
    length = pattern[-1]
    assert f"into groups of {length}, got '{pattern}' with {inputs} inputs in blocks.2.conv" in str(
        caught.value
    )


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_family_has_kernels_whose_flops_are_known(family):
    config = resolve("r", "/d", "", {"model.arch": family.arch, **family.settings, "sparse.method": "static",
                                     "sparse.sparsity": 0.5, "sparse.distribution": "uniform"})  # fmt: skip
    net, init = network.build(config.model, 10, 1, 16, "cpu")
    params, stats = jax.eval_shape(init, jax.random.key(0))
    layers = sparse.kernels_of(config, params)
    flops, total = sparse_cost.forward_flops(net, params, stats, (16, 16, 1))
    assert {layer.name for layer in layers} <= set(flops)
    assert sum(flops.values()) <= total


@pytest.mark.parametrize(
    ("arch", "remat", "sizes"),
    [
        ("cifar-resnet20", "full", {"depth": 14, "width": 4}),
        ("cifar-preact164", "none", {"depth": 29, "width": 4}),
        ("cifar-plain20", "dots", {"depth": 26, "width": 4}),
        ("vit-tiny", "dots", {}),
        ("resnetv2-50", "full", {"width": 8, "stem": "small"}),
    ],
)
def test_kernels_that_a_scan_stacks_have_the_flops_that_they_have_in_a_loop(arch, remat, sizes):
    def flops(**model):
        settings = {f"model.{name}": value for name, value in {"arch": arch, **sizes, **model}.items()}
        net, init = network.build(resolve("r", "/d", "", settings).model, 10, 1, 16, "cpu")
        params, stats = jax.eval_shape(init, jax.random.key(0))
        return sparse_cost.forward_flops(net, params, stats, (16, 16, 1))

    looped, total = flops(repeat="loop", remat="none")
    assert flops(repeat="scan", remat=remat) == (looped, total)
    assert any(name.startswith("blocks.") or ".blocks." in name for name in looped)


def test_the_flops_of_resnet50_are_the_published_ones():
    config = resolve(
        "r", "/d", "", {"model.arch": "resnet50", "sparse.method": "rigl", "sparse.sparsity": 0.8}
    )
    net, init = network.build(config.model, 1000, 3, 224, "cpu")
    params, stats = jax.eval_shape(init, jax.random.key(0))
    flops, total = sparse_cost.forward_flops(net, params, stats, (224, 224, 3))
    assert (
        total == sum(flops.values()) == pytest.approx(8.18e9, rel=2e-3)
    )  # 4.09 G multiply-adds (torchvision)
    shares = {}
    for distribution in ("uniform", "erk"):
        config = resolve("r", "/d", "", {"sparse.method": "rigl", "sparse.sparsity": 0.8,
                                         "sparse.distribution": distribution})  # fmt: skip
        layers = {layer.name: layer.active / layer.size for layer in sparse.kernels_of(config, params)}
        shares[distribution] = sum(flops[name] * layers.get(name, 1) for name in flops) / total
    assert shares["uniform"] == pytest.approx(0.23, abs=0.01)  # Evci et al. 2020, figure 2: 0.23x and 0.42x
    assert shares["erk"] == pytest.approx(0.42, abs=0.01)
