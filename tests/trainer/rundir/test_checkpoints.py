"""Checkpoints: what is kept, what comes back on another mesh, what is refused."""

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import CheckpointConfig, resolve
from trainer.devices import mesh
from trainer.errors import ConfigError, StorageError
from trainer.learning import optimizers, step
from trainer.models import network
from trainer.rundir.checkpoints import Checkpoints

# Where one array cannot be written, TensorStore still calls back for the others, when nobody waits any more.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def states(width=8):
    config = resolve("r", "/d", "", {"model.arch": "resnet-tiny", "model.width": width})
    _, init = network.build(config.model, 10, 1, 8, "cpu")
    optimizer = optimizers.make_optimizer(config.optim, lambda step: 0.1)
    init_state = step.make_init(init, optimizer)
    init_state = jax.jit(init_state, compiler_options={"xla_backend_optimization_level": 0})
    return init_state, jax.eval_shape(init_state, jax.random.key(0))


def on(devices):
    return mesh.replicated(mesh.make_mesh(1, jax.devices()[:devices]))


def steps_of(path):
    return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit())


@pytest.fixture
def opened(tmp_path):
    managers = []

    def open_(**fields):
        managers.append(Checkpoints(tmp_path / "checkpoints", CheckpointConfig(**fields)))
        return managers[-1]

    yield open_
    for checkpoints in managers:
        checkpoints.close()


def test_the_newest_and_the_best_are_kept(opened):
    init_state, _ = states()
    state = init_state(jax.random.key(0))
    checkpoints = opened(keep=2, keep_best=1)
    for at, accuracy in [(1, 0.5), (2, 0.9), (3, 0.6), (4, None), (5, 0.7)]:
        checkpoints.save(state, at, accuracy, wait=True)
    assert steps_of(checkpoints.path) == [2, 4, 5]


def test_a_worse_result_does_not_lose_the_newest(opened):
    init_state, shapes = states()
    checkpoints = opened(keep=1, keep_best=1)
    for at, accuracy in [(1, 0.9), (2, 0.1)]:
        checkpoints.save(init_state(jax.random.key(at)), at, accuracy, wait=True)
    assert checkpoints.newest(shapes, on(1)).step == 2


def test_it_comes_back_on_another_mesh(opened):
    init_state, shapes = states()
    saved = jax.device_put(init_state(jax.random.key(3)), on(8))
    opened().save(saved, 7, None, wait=True)
    restored = opened().newest(shapes, on(2))  # by another process, as it were
    assert (restored.step, restored.accuracy) == (7, None)
    assert jax.tree.structure(restored.state) == jax.tree.structure(saved)
    for before, after in zip(jax.tree.leaves(saved), jax.tree.leaves(restored.state), strict=True):
        np.testing.assert_array_equal(before, after)
        assert len(after.sharding.device_set) == 2


def test_a_save_does_not_change_with_the_state_that_goes_on(opened):
    """The state's memory is given to the next step while the save is still being written."""
    init_state, shapes = states(width=64)
    state = init_state(jax.random.key(0))
    before = [np.array(leaf) for leaf in jax.tree.leaves(state)]
    overwrite = jax.jit(lambda leaves: [jnp.full_like(leaf, 77) for leaf in leaves], donate_argnums=0)
    checkpoints = opened()
    checkpoints.save(state, 1, None)
    overwrite(jax.tree.leaves(state))
    checkpoints.wait()
    for saved, leaf in zip(jax.tree.leaves(checkpoints.newest(shapes, on(1)).state), before, strict=True):
        np.testing.assert_array_equal(saved, leaf)


@pytest.fixture
def full_disk():
    """No file may grow beyond 64 KiB, as long as the test does not call what it gets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_save_that_fails_is_tried_again(opened, full_disk, monkeypatch, capsys):
    monkeypatch.setattr("trainer.rundir.checkpoints.PAUSE_SECONDS", (0.1,) * 50)
    init_state, shapes = states(width=64)
    state = init_state(jax.random.key(0))
    checkpoints = opened()
    checkpoints.save(state, 1, None)
    warnings = ""
    while "trying again" not in warnings:
        time.sleep(0.05)
        warnings += capsys.readouterr().err
    assert f"warning: step 1 could not be saved to run directory {checkpoints.path}: " in warnings
    full_disk()
    checkpoints.wait()
    restored = opened().newest(shapes, on(1))
    assert restored.step == 1
    for name, array in state.params.items():
        np.testing.assert_array_equal(restored.state.params[name], array)


def test_a_save_that_fails_for_good_is_told_at_the_next_call(opened, full_disk, monkeypatch):
    monkeypatch.setattr("trainer.rundir.checkpoints.PAUSE_SECONDS", (0.1,))
    init_state, _ = states(width=64)
    state = init_state(jax.random.key(0))
    checkpoints = opened()
    checkpoints.save(state, 1, None)
    problem = f"step 1 could not be saved to run directory {checkpoints.path}: "
    with pytest.raises(StorageError, match=problem):
        checkpoints.save(state, 2, None)
    full_disk()
    assert opened().best() is None


def test_another_network_is_refused_and_nothing_is_lost(opened):
    init_state, _ = states(width=8)
    opened().save(init_state(jax.random.key(0)), 5, None, wait=True)
    checkpoints = opened()
    with pytest.raises(
        ConfigError, match=r"checkpoint 5 in .* is of another network: .* must be \(10,\)"
    ) as caught:
        checkpoints.newest(_other_head(), on(1))
    assert "--run-dir" in str(caught.value)
    assert steps_of(checkpoints.path) == [5]


def _other_head():
    _, shapes = states()
    params = dict(shapes.params)
    params["head.bias"] = jax.ShapeDtypeStruct((10,), jnp.float32)
    params["blocks.0.conv1.norm.bias"] = jax.ShapeDtypeStruct((10,), jnp.float32)
    return shapes._replace(params=params)


def test_an_empty_directory_is_a_fresh_start(opened):
    _, shapes = states()
    assert opened().newest(shapes, on(1)) is None


def spoil(path, change):
    """Changes the largest file of a checkpoint's arrays: their values, or the list of their names."""
    largest = max((p for p in (path / "state").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(change(bytearray(largest.read_bytes())))


def flip(data):
    data[len(data) // 2] ^= 0x10
    return data


@pytest.mark.parametrize(
    "change", [flip, lambda data: data[: len(data) // 2], lambda data: b""], ids=["a bit", "half", "nothing"]
)
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(opened, capsys, change):
    init_state, shapes = states()
    writer = opened(keep=3)
    saved = [init_state(jax.random.key(at)) for at in (1, 2)]
    for at, state in enumerate(saved, 1):
        writer.save(state, at, None, wait=True)
    spoil(writer.path / "2", change)
    reader = opened(keep=3)
    restored = reader.newest(shapes, on(2))
    assert restored.step == 1
    for name, array in saved[0].params.items():
        np.testing.assert_array_equal(restored.state.params[name], array)
    assert f"warning: checkpoint 2 in {writer.path} is damaged: " in capsys.readouterr().err
    reader.save(saved[1], 2, None, wait=True)
    assert opened(keep=3).newest(shapes, on(1)).step == 2


def test_where_all_are_damaged_nothing_is_started_anew(opened):
    init_state, shapes = states()
    checkpoints = opened(keep=3)
    checkpoints.save(init_state(jax.random.key(1)), 1, None, wait=True)
    spoil(checkpoints.path / "1", flip)
    with pytest.raises(Exception, match=r"checkpoint 1 in .* is damaged: "):
        opened(keep=3).newest(shapes, on(1))
    assert steps_of(checkpoints.path) == [1]
