"""Checkpoints: what is kept, what comes back on another mesh, what is refused."""

import functools
import os
import resource
import shutil
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from disks import as_another_user, read_only, small_disk

from trainer.config import CheckpointConfig, resolve
from trainer.devices import mesh
from trainer.errors import ConfigError, RunDirectoryError, StorageError
from trainer.learning import optimizers, step
from trainer.models import network
from trainer.rundir.checkpoints import Checkpoints

# Where one array cannot be written, TensorStore still calls back for the others, when nobody waits any more.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@functools.cache
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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of checkpoints 1 and 2; the modules that a restore imports late are there already."""
    init_state, shapes = states()
    writer = Checkpoints(tmp_path_factory.mktemp("written"), CheckpointConfig(keep=3))
    for at in (1, 2):
        writer.save(init_state(jax.random.key(at)), at, None, wait=True)
    assert writer.newest(shapes, on(1)).step == 2
    writer.close()
    return writer.path


@pytest.fixture
def two_checkpoints(written, tmp_path):
    """A copy of the folder, in which ``opened`` looks."""
    return shutil.copytree(written, tmp_path / "checkpoints")


def largest(checkpoint):
    files = (path for path in (checkpoint / "state").rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.skipif(sys.platform != "linux", reason="reads of /proc/self/mem fail as those of a bad disk do")
@pytest.mark.parametrize(
    "name", ["meta/metadata", "state/_METADATA", "state/manifest.ocdbt", "largest"], ids=lambda n: n[-9:]
)
@pytest.mark.parametrize(
    ("target", "reason"), [("/proc/self/mem", "Input/output error"), ("{itself}", "Too many levels of")]
)
def test_a_checkpoint_that_cannot_be_read_is_not_set_aside(opened, two_checkpoints, name, target, reason):
    _, shapes = states()
    path = largest(two_checkpoints / "2") if name == "largest" else two_checkpoints / "2" / name
    path.unlink()
    path.symlink_to(target.format(itself=path))
    with pytest.raises((StorageError, RunDirectoryError)) as raised:
        opened(keep=3).newest(shapes, on(1))
    assert f"{path}: {reason}" in str(raised.value)
    assert "damaged" not in str(raised.value)
    assert sorted(p.name for p in two_checkpoints.iterdir()) == ["1", "2"]


def test_a_missing_permission_is_no_damage(opened, two_checkpoints):
    _, shapes = states()
    reader = opened(keep=3)
    two_checkpoints.parent.chmod(0o700)
    with as_another_user(), pytest.raises(RunDirectoryError, match=r"cannot be read: .*: Permission denied"):
        reader.newest(shapes, on(1))
    assert steps_of(two_checkpoints) == [1, 2]
    assert reader.newest(shapes, on(1)).step == 2


def test_too_few_open_files_are_no_damage(opened, two_checkpoints):
    _, shapes = states()
    reader = opened(keep=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(StorageError, match="Too many open files"):
            reader.newest(shapes, on(1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert steps_of(two_checkpoints) == [1, 2]


def test_damage_that_cannot_be_set_aside_is_named(opened, two_checkpoints):
    _, shapes = states()
    spoil(two_checkpoints / "2", flip)
    reader = opened(keep=3)
    with read_only(two_checkpoints), pytest.raises(RunDirectoryError, match="Read-only file system"):
        reader.newest(shapes, on(1))
    assert steps_of(two_checkpoints) == [1, 2]


def test_a_damaged_checkpoint_does_not_replace_another_one(opened, two_checkpoints):
    _, shapes = states()
    (two_checkpoints / "damaged-2").mkdir()
    (two_checkpoints / "damaged-2" / "evidence").write_text("of another day")
    spoil(two_checkpoints / "2", flip)
    assert opened(keep=3).newest(shapes, on(1)).step == 1
    assert sorted(p.name for p in two_checkpoints.iterdir()) == ["1", "damaged-2", "damaged-2-2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("meta/metadata", "{"),
        ("meta/metadata", "[]"),
        ("meta/metadata", '{"step": 2}'),
        ("meta/metadata", '{"step": 2, "accuracy": "high"}'),
        ("meta/metadata", '{"step": 2, "accuracy": null, "stream": 3}'),
        ("meta/metadata", '{"step": 2, "accuracy": null, "parts": [1]}'),
        ("meta/metadata", '{"step": 2, "accuracy": null, "parts": {"step": 3}}'),
        (
            "meta/metadata",
            '{"step": 2, "accuracy": null, "parts": {"step": {"shape": [], "checksums": [1]}}}',
        ),
        (
            "meta/metadata",
            '{"step": 2, "accuracy": null, "parts": {"step": {"shape": [-1], "checksums": [1]}}}',
        ),
        (
            "meta/metadata",
            '{"step": 2, "accuracy": null, "parts": {"step": {"shape": [2], "checksums": [1]}}}',
        ),
        ("meta/metadata", None),
        ("state/_METADATA", "{"),
        ("state/_METADATA", None),
        ("state/manifest.ocdbt", "x" * 99),
        ("state/manifest.ocdbt", None),
    ],
)
def test_a_file_that_cannot_be_decoded_is_damage(opened, two_checkpoints, capsys, name, content):
    _, shapes = states()
    path = two_checkpoints / "2" / name
    path.unlink() if content is None else path.write_text(content)
    assert opened(keep=3).newest(shapes, on(1)).step == 1
    assert f"warning: checkpoint 2 in {two_checkpoints} is damaged: " in capsys.readouterr().err


def test_a_relative_path_means_the_same_folder(opened, two_checkpoints, monkeypatch):
    _, shapes = states()
    monkeypatch.chdir(two_checkpoints.parent)
    relative = Checkpoints("checkpoints", CheckpointConfig(keep=3))
    assert relative.newest(shapes, on(1)).step == 2
    relative.close()
    assert steps_of(two_checkpoints) == [1, 2]


def test_a_full_disk_is_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("trainer.rundir.checkpoints.PAUSE_SECONDS", (0.1, 0.1, 0.1))
    init_state, _ = states(width=64)
    with small_disk(tmp_path / "run", 512) as root:
        checkpoints = Checkpoints(root / "checkpoints", CheckpointConfig())
        checkpoints.save(init_state(jax.random.key(0)), 1, None)
        with pytest.raises(StorageError) as raised:
            checkpoints.wait()
        checkpoints.close()
    reason = f"step 1 could not be saved to run directory {root}/checkpoints: No space left on device"
    assert str(raised.value).splitlines()[0] == reason
    time.sleep(0.5)  # for callbacks that come late
    assert capfd.readouterr().err == f"warning: {reason}; trying again\n"


def test_a_missing_permission_is_not_tried_again(tmp_path, capfd):
    init_state, _ = states()
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, CheckpointConfig())
    with read_only(folder):
        checkpoints.save(init_state(jax.random.key(0)), 1, None)
        begun = time.monotonic()
        with pytest.raises(RunDirectoryError, match=f"directory {folder}: Read-only file"):
            checkpoints.wait()
    assert time.monotonic() - begun < 10
    checkpoints.close()
    assert capfd.readouterr().err == ""


def test_who_only_reads_writes_nothing(tmp_path, two_checkpoints, capfd, caplog):
    _, shapes = states()
    nothing = Checkpoints(tmp_path / "nowhere", CheckpointConfig(), writing=False)
    assert nothing.best() is None
    assert not (tmp_path / "nowhere").exists()
    with read_only(two_checkpoints):
        reader = Checkpoints(two_checkpoints, CheckpointConfig(), writing=False)
        assert reader.restore(shapes, on(1), reader.best()).step == 2
        reader.close()
    nothing.close()
    assert (capfd.readouterr().err, caplog.messages) == ("", [])


def test_where_all_are_damaged_nothing_is_started_anew(opened):
    init_state, shapes = states()
    checkpoints = opened(keep=3)
    checkpoints.save(init_state(jax.random.key(1)), 1, None, wait=True)
    spoil(checkpoints.path / "1", flip)
    with pytest.raises(Exception, match=r"checkpoint 1 in .* is damaged: "):
        opened(keep=3).newest(shapes, on(1))
    assert steps_of(checkpoints.path) == [1]
