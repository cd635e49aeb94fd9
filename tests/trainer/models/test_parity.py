"""Torchvision's and timm's networks and ours, on the same weights: logits, gradients, running statistics.

What theirs compute is in parity.json, written by tools/parity_goldens.py; the weights are drawn here anew.
"""

import json
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import optax
import pytest

from tools import parity_goldens as goldens
from trainer.config import ModelConfig
from trainer.models import network
from trainer.weights import torch_names

WANTED = json.loads((Path(__file__).parent / "parity.json").read_text())
SETTINGS = {
    "resnet-d": {"arch": "resnet18", "stem": "deep", "shortcut": "pool"},
    "blur": {"arch": "resnet50", "blur": "after"},
    "squeeze": {"arch": "resnet50", "squeeze": 1 / 16},
    "vit-mean": {"arch": "vit-ti16", "pool": "mean"},
    "vit-map": {"arch": "vit-ti16", "pool": "map"},
    "convnext-torchvision": {"arch": "convnext-t"},
    "resnetv2-d": {"arch": "resnetv2-50", "stem": "deep", "shortcut": "pool"},
    "efficientnet-b0": {"arch": "efficientnet-b0", "bn_epsilon": 1e-3},
    "efficientnetv2-b0": {"arch": "efficientnetv2-b0", "bn_epsilon": 1e-3},
    "efficientnet-b1": {"arch": "efficientnet-b1", "padding": "symmetric"},
    "efficientnetv2-s": {"arch": "efficientnetv2-s", "padding": "symmetric", "bn_epsilon": 1e-3},
}
# The others take minutes: python bench/parity.py runs every case.
TESTED = ("resnet18", "resnet50", "resnext50-32x4d", "resnet-d", "blur", "squeeze", "vit-ti16", "vit-map")
TESTED += ("resnetv2-d", "convnext-t", "efficientnet-b0", "efficientnetv2-b0", "nfnet-tiny")

# Their float32 gradients are up to 5 % away from float64: the gradient grows with each block.
DEEP = ("resnetv2-50", "resnetv2-d", "resnetv2-101", "resnetv2-152")


def build(case):
    settings = SETTINGS.get(case, {"arch": case})
    stem = {"stem": "imagenet"} if "stem" in network.find(settings["arch"]).settings else {}
    config = ModelConfig(**(stem | settings))
    library = goldens.CASES[case][0]
    net, init = network.build(config, goldens.CLASSES, 3, 64, "cpu")
    params, stats = jax.eval_shape(init, jax.random.key(0))
    shapes = {name: a.shape for name, a in (params | stats).items()}
    drawn = {}
    for ours, theirs in torch_names.names(config, shapes, library).items():
        blank = torch_names.write(config, {ours: np.empty(shapes[ours], np.float32)}, library)
        drawn[theirs] = goldens.draw(theirs, blank[theirs].shape)
    arrays = torch_names.read(config, drawn, shapes, library=library)
    return config, net, {k: arrays[k] for k in params}, {k: arrays[k] for k in stats}


def loss_of(net, params, stats):
    logits, changed = net.apply(params, stats, goldens.images(), train=True)
    labels = np.array(goldens.LABELS)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), changed


@pytest.mark.slow
@pytest.mark.parametrize("case", TESTED)
def test_the_same_weights_give_the_same_numbers(case):
    compare(case)


def compare(case):
    """Returns the largest difference of a logit, and the relative one of the length of the gradient.

    The gradients of DEEP networks are compared in float64.
    """
    config, net, params, stats = build(case)
    # Float32 itself is this far from float64, in PyTorch as well: 1e-6 at 18 layers, 1e-3 at 50.
    rel = 1e-4 if case in ("resnet18", "resnet34") else 5e-3
    exact = not config.arch.startswith(
        ("resnet", "wide", "resnext", "nf-resnet")
    )  # families without such a loss of digits
    rel, wanted, library = 1e-5 if exact else rel, WANTED[case], goldens.CASES[case][0]
    # Without optimised machine code a program of this size compiles in seconds.
    quick = {"compiler_options": {"xla_backend_optimization_level": 0}}
    logits = jax.jit(lambda p, s: net.apply(p, s, goldens.images(), train=False)[0], **quick)(params, stats)
    off = float(np.abs(np.asarray(logits) - np.array(wanted["logits"])).max())
    assert off < (1e-5 if exact else 1e-4)
    if case in DEEP:
        loss, changed = jax.jit(lambda p, s: loss_of(net, p, s), **quick)(params, stats)
        longer = compare_in_float64(case)
    else:
        step = jax.jit(jax.value_and_grad(lambda p, s: loss_of(net, p, s), has_aux=True), **quick)
        (loss, changed), grads = step(params, stats)
        theirs = torch_names.write(config, {k: np.asarray(g, np.float64) for k, g in grads.items()}, library)
        longer = compare_gradients(wanted, theirs, rel)
    assert float(loss) == pytest.approx(wanted["loss"], rel=1e-5)
    running = torch_names.write(config, {k: np.asarray(s, np.float64) for k, s in changed.items()}, library)
    for name, norm in wanted["running"].items():
        assert np.linalg.norm(running[name]) == pytest.approx(norm, rel=1e-4), name
    return off, longer


def compare_gradients(wanted, theirs, rel):
    """Returns the relative difference of the length of the gradient."""
    total = np.sqrt(sum(np.square(g).sum() for g in theirs.values()))
    assert total == pytest.approx(wanted["total"], rel=rel)
    for name, norm in wanted["gradients"].items():
        assert np.linalg.norm(theirs[name]) == pytest.approx(norm, rel=2 * rel), name
    for name, value in wanted["sums"].items():  # every seventh number: their order counts
        spread = np.linalg.norm(theirs[name])
        assert theirs[name].ravel()[::7].sum() == pytest.approx(value, abs=4 * rel * spread), name
    return total / wanted["total"] - 1


def compare_in_float64(case):
    """As compare_gradients, where a float32 gradient is percents away from float64, in PyTorch as in JAX."""
    with jax.enable_x64(True), mock.patch.object(network, "compute_dtype", return_value=np.dtype("float64")):
        config, net, params, stats = build(case)
        params, stats = jax.tree.map(lambda array: np.asarray(array, np.float64), (params, stats))
        quick = {"compiler_options": {"xla_backend_optimization_level": 0}}
        step = jax.jit(jax.value_and_grad(lambda p, s: loss_of(net, p, s), has_aux=True), **quick)
        (loss, _), grads = step(params, stats)
    wanted, library = WANTED[case], goldens.CASES[case][0]
    assert float(loss) == pytest.approx(wanted["loss"], rel=1e-6)
    theirs = torch_names.write(config, {k: np.asarray(g) for k, g in grads.items()}, library)
    assert {g.dtype for g in theirs.values()} == {np.dtype("float64")}
    return compare_gradients(wanted, theirs, rel=2.5e-7)


def test_what_is_written_is_read_back_the_same():
    config, _, params, stats = build("resnet-d")
    ours = params | stats
    again = torch_names.read(config, torch_names.write(config, ours), {k: a.shape for k, a in ours.items()})
    for name, array in ours.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": None}, "must hold a resnet18: fc.bias is missing"),
        ({"layer9.0.conv1.weight": np.zeros(1)}, "layer9.0.conv1.weight does not belong to it"),
        (
            {"fc.weight": np.zeros((1000, 512))},
            r"fc.weight must be \(512, 10\) in our layout, got \(512, 1000\)",
        ),
    ],
)
def test_another_network_is_refused_by_name(change, message):
    config, _, params, stats = build("resnet18")
    theirs = torch_names.write(config, params | stats) | change
    theirs = {name: array for name, array in theirs.items() if array is not None}
    with pytest.raises(Exception, match=message):
        torch_names.read(config, theirs, {k: a.shape for k, a in (params | stats).items()})
