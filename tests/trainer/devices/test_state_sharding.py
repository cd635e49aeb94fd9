"""A sharded state: less memory per device, the same losses, whole checkpoints."""

import signal

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from local_runs import finish, launch, losses, until
from step_runs import Run

from trainer.devices import mesh, state_sharding

STEPS = 8


@pytest.fixture(autouse=True)
def shard_small_arrays(monkeypatch):
    monkeypatch.setattr(state_sharding, "MIN_ELEMENTS", 256)


def argument_bytes(run):
    """Return the bytes of the training step's arguments per device."""
    return run.train.memory_analysis().argument_size_in_bytes


@pytest.fixture(scope="module")
def replicated_run():
    run = Run(8, **{"optim.ema": 0.9})
    return run.losses(STEPS), argument_bytes(run)


# SGD's momentum and the averages are each as large as the parameters.
@pytest.mark.slow
@pytest.mark.parametrize(("shard", "copies"), [("optimizer", 2), ("all", 3)])
def test_each_device_holds_its_shard_and_losses_stay_the_same(replicated_run, shard, copies):
    losses, replicated_bytes = replicated_run
    run = Run(8, **{"optim.ema": 0.9, "train.shard": shard})
    parameters = sum(a.size * 4 for a in run.shapes.params.values())
    assert replicated_bytes - argument_bytes(run) == pytest.approx(copies * parameters * 7 / 8, rel=0.15)
    assert run.losses(STEPS) == pytest.approx(losses, abs=1e-5)
    assert run.totals()["examples"] == 360
    whole = state_sharding.gatherer(run.mesh, shard)(run.state)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(whole))


@pytest.mark.slow
def test_the_longest_axis_that_divides_evenly_is_sharded():
    run = Run(8)
    kernel = jax.ShapeDtypeStruct((3, 3, 64, 128), np.float32)
    stem = jax.ShapeDtypeStruct((7, 7, 3, 9), np.float32)
    scale = jax.ShapeDtypeStruct((128,), np.float32)
    shapes = run.shapes._replace(params={"kernel": kernel, "stem": stem, "scale": scale}, opt=())
    params = state_sharding.of_state(run.mesh, shapes, "all").params
    assert params["kernel"].spec == PartitionSpec(None, None, None, "data")
    assert params["stem"].spec == params["scale"].spec == PartitionSpec()
    two = mesh.make_mesh(2, jax.devices()[:8])
    kernel = state_sharding.of_state(two, shapes, "all").params["kernel"]
    assert kernel.shard_shape((3, 3, 64, 128)) == (3, 3, 64, 32)  # over the four devices of each slice


@pytest.mark.slow
def test_a_sharded_run_of_two_processes_resumes_replicated_in_one(tmp_path):
    wide = ["--set", "model.width=64", "--steps", "30"]
    process = launch(tmp_path, "--slice", "cpu-2x2", "--set", "train.shard=all", *wide)
    lines = until(process, "progress step=12 ")
    process.send_signal(signal.SIGTERM)
    _, out = finish(process, lines)
    assert "event name=preempted" in out
    states = [path / "state" for path in (tmp_path / "checkpoints").iterdir()]
    assert all((state / f"ocdbt.process_{host}").is_dir() for state in states for host in (0, 1))
    code, out = finish(launch(tmp_path, "--slice", "cpu-1x2", *wide))
    assert code == 0, out
    assert "event name=restore" in out
    reference = tmp_path / "replicated"
    code, out = finish(launch(reference, "--slice", "cpu-1x2", *wide))
    assert code == 0, out
    resumed, expected = ([loss for _, loss in losses(run_dir)] for run_dir in (tmp_path, reference))
    assert resumed == pytest.approx(expected, abs=1e-3)
