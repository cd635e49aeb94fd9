"""The two steps: the same on any number of devices, and an evaluation that counts each example once."""

import re

import jax
import numpy as np
import pytest
from step_runs import Run

from trainer import registry
from trainer.devices.batches import check_batch
from trainer.learning import optimizers, step
from trainer.learning.losses import cross_entropy

STEPS = 50  # more than an epoch, which has 44.9


@pytest.fixture(scope="module")
def on_one():
    run = Run(1)
    return run.losses(STEPS), run.totals()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_losses_do_not_depend_on_the_devices(on_one, devices):
    run = Run(devices)
    assert run.losses(STEPS) == pytest.approx(on_one[0], abs=1e-5)
    assert run.totals()["examples"] == 360


@pytest.mark.slow
def test_the_loss_falls_and_every_test_image_counts_once(on_one):
    losses, totals = on_one
    assert losses[0] == pytest.approx(np.log(10), abs=0.05)  # the head starts near zero: all classes alike
    assert np.mean(losses[-5:]) < losses[0]
    assert totals["examples"] == 360  # 11 batches of 32 and one of 8


def test_weight_decay_touches_kernels_only():
    params = {
        "stem.conv.kernel": 1,
        "stem.norm.scale": 1,
        "stem.norm.bias": 1,
        "head.kernel": 1,
        "head.bias": 1,
    }
    assert [name for name, decayed in optimizers.kernels(params).items() if decayed] == [
        "stem.conv.kernel",
        "head.kernel",
    ]


def test_cross_entropy_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    labels = np.array([0], np.int32)
    assert float(cross_entropy(logits, labels, 0.0)[0]) == pytest.approx(0.356675, abs=1e-5)  # -ln 0.7
    # 0.9 x 0.356675 + 0.1 x mean(0.356675, 1.609438, 2.302585)
    assert float(cross_entropy(logits, labels, 0.1)[0]) == pytest.approx(0.463297, abs=1e-5)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(Exception, match=r"train\.batch: must be a multiple of 8 devices, got 100") as caught:
        check_batch(8, 100)
    assert "--batch 96 gives 12 examples per device" in str(caught.value)
    with pytest.raises(Exception, match=r"multiple of 8 devices x 4 parts, got 48") as caught:
        check_batch(8, 48, 4)
    assert "--batch 32 gives 1 examples per device and part" in str(caught.value)


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_the_batch():
    """Every example twice in a row: both parts are the same, and so are the statistics of BatchNorm."""
    whole, parts = (
        Run(2, **{"train.accumulate": n, "data.shift_pixels": 0, "data.flip": False}) for n in (1, 2)
    )
    [batch] = whole.batches(1)
    batch = {name: np.repeat(array[:16], 2, axis=0) for name, array in batch.items()}
    results = []
    for run in (whole, parts):
        leaves, metrics = run.train(tuple(jax.tree.leaves(run.state)), run.placer.place(batch))
        results.append((jax.tree.unflatten(jax.tree.structure(run.shapes), leaves), float(metrics["loss"])))
    (one, loss), (two, again) = results
    assert again == pytest.approx(loss, abs=1e-6)
    for name, array in one.params.items():
        np.testing.assert_allclose(two.params[name], array, atol=2e-6, err_msg=name)


@pytest.mark.slow
def test_everything_at_once_trains_alike_on_one_device_and_on_eight():
    settings = {
        "augment.policy": "rand", "augment.mixup": 0.2, "augment.cutmix": 1.0, "augment.erase": 0.3,
        "optim.ema": 0.9, "optim.loss": "binary", "optim.name": "lamb", "model.stochastic_depth": 0.2,
    }  # fmt: skip
    one, eight = Run(1, **settings), Run(8, **settings)
    assert eight.losses(6) == pytest.approx(one.losses(6), abs=1e-5)
    averaged, raw = step.evaluated(one.state, one.config.optim).values()
    assert any((averaged[0][name] != raw[0][name]).any() for name in raw[0])


@pytest.mark.slow
@pytest.mark.parametrize("group", [0, 4])
def test_batch_norm_that_is_folded_trains_alike_and_on_any_number_of_devices(monkeypatch, group):
    monkeypatch.setitem(registry.ARCHS["resnet-tiny"][1], "block", "bottleneck")
    plain, fold = {"model.bn_group": group}, {"model.bn_group": group, "model.bn_fold": "on"}
    apart, one, eight = Run(1, **plain), Run(1, **fold), Run(8, **fold)
    folded = one.losses(20)
    assert eight.losses(20) == pytest.approx(folded, abs=1e-5)
    assert apart.losses(20) == pytest.approx(folded, abs=1e-4)
    text = str(jax.make_jaxpr(one.train_step)(one.shapes, one.batch_shapes(one.batches(1))))
    assert "second_moments" in text
    assert one.totals()["examples"] == 360


def collectives(run):
    """Name -> how many, in the compiled training step."""
    text = run.train.as_text()
    names = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    found = {name: len(re.findall(rf"= (?:\S+|\([^)]*\)) {name}\(", text)) for name in names}
    return {name: number for name, number in found.items() if number}


@pytest.mark.slow
def test_with_statistics_in_groups_the_gradients_are_all_that_is_reduced(monkeypatch):
    """Six layers of BatchNorm: reductions for their statistics and their gradients, or none."""
    whole, groups = (Run(8, **{"model.bn_group": size}) for size in (0, 4))
    assert collectives(whole)["all-reduce"] > 6
    # The running statistics of all layers are one row of numbers, which the gradients take along.
    assert collectives(groups) == {"all-reduce": 1}
    monkeypatch.setitem(registry.ARCHS["resnet-tiny"][1], "block", "bottleneck")
    assert collectives(Run(8, **{"model.bn_group": 4, "model.bn_fold": "on"})) == {"all-reduce": 1}
    assert all(np.isfinite(groups.losses(3)))
    assert groups.totals()["examples"] == 360
