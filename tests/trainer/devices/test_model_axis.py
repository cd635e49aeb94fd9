"""Tensor parallelism: the same losses, the collectives that it must cost, and what it refuses."""

import re
import shutil
from typing import Any

import jax
import pytest
from jax.sharding import PartitionSpec
from local_runs import finish, launch, losses
from step_runs import Run

from trainer.config import CheckpointConfig
from trainer.devices import state_sharding
from trainer.devices.model_axis import check_axis
from trainer.errors import ConfigError
from trainer.models import network
from trainer.rundir.checkpoints import Checkpoints

DEPTH, TOKENS, WIDTH = 2, 5, 32  # of vit-tiny on images of 8x8
VIT = {"model.arch": "vit-tiny", "model.width": 64, "optim.schedule": "constant", "optim.lr": 0.2}
# devices, settings: with a group of all devices, in a scan, and beside everything that also divides
DIVIDED = [
    (2, {"mesh.model": 2}),
    (4, {"mesh.model": 2, "model.repeat": "scan", "model.remat": "full"}),
    (8, {"mesh.model": 2, "train.shard": "all", "train.accumulate": 2}),
]


@pytest.fixture(scope="module")
def runs():
    """A function that makes a run once; its arguments are those of ``Run``."""
    made = {}

    def run(devices, settings):
        key = (devices, *settings.items())
        if key not in made:
            made[key] = Run(devices, **VIT, **settings)
        return made[key]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(state_sharding, "MIN_ELEMENTS", 256)
        yield run


@pytest.fixture(scope="module")
def one_device(runs):
    run = runs(1, {})
    return run.losses(50), run.totals()


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "settings"), [(8, {}), *DIVIDED])
def test_losses_and_evaluation_are_those_of_one_device(runs, one_device, devices, settings):
    expected, totals = one_device
    run = runs(devices, settings)
    assert run.losses(50) == pytest.approx(expected, abs=1e-5)
    assert expected[0] - expected[-1] > 0.1
    if (devices, settings) == DIVIDED[-1]:
        assert run.totals() == pytest.approx(totals, rel=1e-5)


def collectives(text, kind, shape):
    """Count the collectives of a kind whose result is, or begins with, an array of a shape."""
    return len(re.findall(rf" = \(?f32\[{shape}\]\S* (?:.*\) )?{kind}(?:-start)?\(", text))


@pytest.mark.slow
def test_a_block_costs_two_all_reduces_each_way(runs):
    text = runs(*DIVIDED[0]).train.as_text()
    # After attention and MLP, and before each of them on the way back (arXiv:1909.08053, figure 4).
    assert collectives(text, "all-reduce", f"32,{TOKENS},{WIDTH}") == 4 * DEPTH
    # The matrix of queries, keys and values changes from rows to heads, its gradient back, and the gradient
    # of its bias becomes whole.
    assert text.count(" all-to-all(") == 2 * DEPTH
    assert text.count(" all-gather(") == DEPTH
    assert not re.search(r"collective-permute|reduce-scatter", text)

    scanned = runs(*DIVIDED[1]).train.as_text()  # each body is one block, and both are in groups of 16 images
    # Of what is computed again on the way back, the first all-reduce is one: the MLP needs its result.
    assert collectives(scanned, "all-reduce", f"16,{TOKENS},{WIDTH}") == 4 + 1


@pytest.mark.slow
def test_a_group_divides_kernels_and_whatever_an_optimizer_keeps_of_them(runs):
    run = runs(*DIVIDED[2])
    specs = {name: sharding.spec for name, sharding in run.shardings.params.items()}
    assert specs["blocks.0.attention.qkv.kernel"] == PartitionSpec("model", "data")
    assert specs["blocks.1.attention.out.kernel"] == PartitionSpec("model", "data")
    assert specs["blocks.0.mlp.hidden.kernel"] == PartitionSpec("data", "model")
    assert specs["blocks.0.mlp.hidden.bias"] == PartitionSpec("model")
    assert specs["blocks.1.mlp.out.kernel"] == PartitionSpec("model", "data")
    whole = ("blocks.0.mlp.out.bias", "blocks.0.norm1.scale", "blocks.0.attention.qkv.bias", "head.bias")
    assert {specs[name] for name in whole} == {PartitionSpec()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lamb", "lars", "muon", "schedule-free"])
def test_the_state_of_every_optimizer_is_divided_as_its_parameters(optimizer):
    from trainer.config import resolve
    from trainer.devices import mesh
    from trainer.learning import optimizers, step

    config = resolve("r", "/d", "", {**VIT, "optim.name": optimizer, "optim.ema": 0.9})
    net, init = network.build(config.model, 10, 1, 8, "cpu")
    init_state = step.make_init(init, optimizers.make_optimizer(config.optim, lambda step: 0.1), config.optim)
    shapes = jax.eval_shape(init_state, jax.random.key(0))
    shardings = state_sharding.of_state(
        mesh.make_mesh(1, jax.devices(), model=2), shapes, "none", net.division
    )
    divided = sum(net.division.axis(name) is not None for name in shapes.params)
    assert divided == DEPTH * 5
    kept = [sharding.spec for sharding in jax.tree.leaves(shardings.opt) if sharding.spec]
    assert len(kept) >= 2 * divided  # at least one array beside the average


UNDIVIDED = "mesh.model: must be 1 for {}, whose layers cannot be divided over devices, got {}"


@pytest.mark.parametrize(
    ("arch", "size", "devices", "message", "hint"),
    [
        ("vit-b16", 5, 8, "12 heads, 3072 hidden units of vit-b16 and the 8 devices of a slice", "1, 2, 4"),
        ("vit-ti16", 2, 8, "3 heads, 768 hidden units of vit-ti16 and the 8 devices of a slice", "1"),
        ("vit-s16", 3, 8, "6 heads, 1536 hidden units of vit-s16 and the 8 devices of a slice", "1, 2"),
        ("deit3-l16", 8, 4, "16 heads, 4096 hidden units of deit3-l16 and the 4 devices of a", "1, 2, 4"),
        ("resnet50", 2, 8, UNDIVIDED.format("resnet50", 2), ""),
        ("convnext-t", 2, 8, UNDIVIDED.format("convnext-t", 2), ""),
        ("efficientnet-b0", 4, 8, UNDIVIDED.format("efficientnet-b0", 4), ""),
    ],
)
def test_a_group_that_divides_not_all_is_refused(arch, size, devices, message, hint):
    with pytest.raises(ConfigError) as refused:
        check_axis(size, arch, network.find(arch).division, devices)
    assert message in str(refused.value)
    assert str(refused.value).startswith("mesh.model: must ")
    if hint:
        assert refused.value.hint == f"--set mesh.model={hint[-1]}; what divides all of them: {hint}"
    else:
        assert refused.value.hint == "--set train.shard=all divides the state of every network"


@pytest.mark.slow
def test_a_run_goes_on_in_groups_of_devices(runs, tmp_path):
    alone, run = runs(1, {}), runs(*DIVIDED[2])
    checkpoints = Checkpoints(tmp_path / "checkpoints", CheckpointConfig())
    try:
        checkpoints.save(alone.state, 3, None, True, {})
        run.state = checkpoints.newest(run.shapes, run.shardings).state
    finally:
        checkpoints.close()
    assert run.state.params["blocks.0.mlp.hidden.kernel"].sharding.spec == PartitionSpec("data", "model")
    assert run.losses(3) == pytest.approx(alone.losses(3), abs=1e-5)


@pytest.mark.slow
def test_a_group_over_two_hosts_goes_on_without_the_axis(tmp_path):
    """Both devices of the group are on different hosts: each host reads the whole batch."""
    vit = ["--arch", "vit-tiny", "--set", "model.width=64", "--set", "checkpoint.every_steps=3"]
    vit += ["--set", "train.eval_every_epochs=0", "--set", "checkpoint.keep=3", "--steps", "6"]
    grouped, resumed = tmp_path / "grouped", tmp_path / "resumed"
    code, out = finish(launch(grouped, *vit, "--set", "mesh.model=2"))
    assert code == 0, out
    shutil.copytree(grouped, resumed)
    shutil.rmtree(resumed / "checkpoints" / "6")
    code, out = finish(launch(resumed, *vit, "--slice", "cpu-1x2"))
    assert code == 0, out
    assert "event name=restore" in out
    expected, continued = (dict(losses(run_dir)) for run_dir in (grouped, resumed))
    assert list(expected) == list(continued) == [1, 2, 3, 4, 5, 6]
    assert [*continued.values()] == pytest.approx([*expected.values()], abs=1e-5)


@pytest.mark.slow
def test_a_network_of_ones_own_is_divided_as_it_says():
    settings = {"model.arch": "own_code.nets:divided", "model.width": 16}
    one, two = Run(1, **settings), Run(2, **settings, **{"mesh.model": 2})
    shardings: Any = two.shardings.params
    specs = {name: sharding.spec for name, sharding in shardings.items() if sharding.spec}
    assert specs == {"hidden.kernel": PartitionSpec(None, "model"), "hidden.bias": PartitionSpec("model")}
    losses = one.losses(4)
    assert two.losses(4) == pytest.approx(losses, abs=1e-5)
    assert losses[0] != losses[-1]
    with pytest.raises(ConfigError, match=r"mesh\.model: must divide the 16 hidden units of own_code"):
        check_axis(3, settings["model.arch"], two.net.division, 6)
