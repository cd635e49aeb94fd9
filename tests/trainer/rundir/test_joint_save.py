"""Each host writes and reads its part of a divided state: real hosts, failures, deaths in the middle."""

import errno
import json
import shutil
from pathlib import Path

import divided_states
import jax
import numpy as np
import pytest
from joined_hosts import finished, running

from trainer.config import CheckpointConfig
from trainer.errors import reason, system_error_of
from trainer.rundir.checkpoints import Checkpoints, DamagedError, verify
from trainer.rundir.files import failure
from trainer.rundir.joint_restore import Saved, _joined, _overlapping
from trainer.rundir.joint_save import Lead, OtherHostError, _described, _problem
from trainer.runtime.exchange import Exchange

SCRIPT = Path(divided_states.__file__)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def data_bytes(state, host):
    return sum(file.stat().st_size for file in (state / f"ocdbt.process_{host}" / "d").iterdir())


def history(folder, dies):
    """Two hosts save until one dies in the middle of a save; the folder, and what the other one printed."""
    with running(2, 2, SCRIPT, "save", folder, DIES=str(dies)) as processes:
        _, err = processes[dies].communicate(timeout=200)
        assert processes[dies].returncode == -9, err
        processes[1 - dies].kill()
        out, err = processes[1 - dies].communicate()
    return folder, out, err


@pytest.fixture(scope="module")
def without_the_second(tmp_path_factory):
    return history(tmp_path_factory.mktemp("joint") / "checkpoints", dies=1)


@pytest.fixture(scope="module")
def without_the_first(tmp_path_factory):
    return history(tmp_path_factory.mktemp("joint") / "checkpoints", dies=0)


@pytest.fixture
def whole(without_the_second, tmp_path):
    """A copy of what was saved."""
    return shutil.copytree(without_the_second[0], tmp_path / "checkpoints")


def restored_here(folder):
    """The newest checkpoint, restored on the eight devices of this process and compared bit for bit."""
    checkpoints = divided_states.opened(folder)
    restored = checkpoints.newest(
        divided_states.shapes(), divided_states.as_state(divided_states.shardings())
    )
    checkpoints.close()
    divided_states.check(restored, restored.step)
    return restored


@pytest.mark.slow
def test_a_full_disk_of_another_host_is_tried_again_and_named(without_the_second):
    folder, out, err = without_the_second
    problem = f"could not be saved to run directory {folder}: File too large (host 1)"
    assert f"warning: step 4 {problem}; trying again\n" in err
    assert f"refused 43 step 5 {problem}\n" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_other_host_ends_with_the_same_reason(without_the_first):
    folder, out, err = without_the_first
    problem = f"step 5 could not be saved to run directory {folder}: File too large (host 1)"
    assert f"refused 43 process 0 failed: {problem}\n" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_newest_and_the_best_are_kept_and_the_hosts_share_the_work(without_the_second):
    folder, *_ = without_the_second
    assert names(folder) == ["1", "3", "4", "5.orbax-checkpoint-tmp", "6.orbax-checkpoint-tmp"]
    sizes = [data_bytes(folder / "3" / "state", host) for host in (0, 1)]
    assert 0.3 < sizes[1] / sum(sizes) < 0.7


def restored_by(hosts, folder, **variables):
    """What each of several hosts printed that restored the newest checkpoint and compared it bit for bit."""
    with running(hosts, 1, SCRIPT, "restore", folder, **variables) as processes:
        ends = finished(processes)
    assert [code for code, *_ in ends] == [0] * hosts, ends
    return [(out[out.index("restored ") :], err) for _, out, err in ends]


@pytest.mark.slow
@pytest.mark.parametrize(("hosts", "first", "each"), [(2, 24_329, 5_888), (4, 18_953, 6_656)])
def test_what_was_whole_before_a_host_died_is_read_in_parts_by_other_hosts(whole, hosts, first, each):
    """The bytes: of 30,217, of which the first host reads for all what each device holds whole."""
    outputs = restored_by(hosts, whole)
    expected = [f"restored 4 None {{}}\nread {size}\n" for size in [first, *[each] * (hosts - 1)]]
    assert outputs == [(text, "") for text in expected]


@pytest.mark.slow
def test_where_a_host_sees_no_files_the_first_host_reads_for_all_and_nothing_is_set_aside(whole):
    (first, warning), (second, silent) = restored_by(2, whole, BLIND="1")
    assert first == "restored 4 None {}\nread 5888\n"
    assert (second, silent) == ("restored 4 None {}\nread 0\n", "")
    assert warning.startswith(
        f"warning: the first host reads checkpoint 4 in {whole} for all: host 1: NOT_FOUND"
    )
    assert len(warning.splitlines()) == 1
    assert "tensorstore_spec" not in warning
    assert "4" in names(whole)


@pytest.mark.slow
def test_damage_that_another_host_notices_leads_all_hosts_to_the_checkpoint_before(whole):
    data = whole / "4" / "state" / "ocdbt.process_1" / "d"
    largest = max(data.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content)
    (first, warning), (second, silent) = restored_by(2, whole)
    assert first.startswith("restored 3 0.5 {'step': 3}\n")
    assert second.startswith("restored 3 0.5 {'step': 3}\n")
    assert warning.startswith(f"warning: checkpoint 4 in {whole} is damaged: ")
    assert silent == ""
    assert "damaged-4" in names(whole)


@pytest.mark.parametrize("absent", [(), ("parts",), ("parts", "checksums"), ("parts", "checksums", "stream")])
def test_a_checkpoint_of_an_earlier_version_is_divided(tmp_path, absent):
    """Until 0.1.0 the first host wrote arrays whole, before that without checksums."""
    whole = divided_states.as_state(
        {
            name: jax.device_put(array, divided_states.shardings(False)[name])
            for name, array in divided_states.values(1).items()
        }
    )
    checkpoints = Checkpoints(tmp_path, CheckpointConfig())
    checkpoints.save(whole, 1, 0.25, wait=True, stream={"turns": 3})
    checkpoints.close()
    file = tmp_path / "1" / "meta" / "metadata"
    meta = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in meta.items() if key not in absent}))
    assert restored_here(tmp_path).stream == ({} if "stream" in absent else {"turns": 3})


@pytest.mark.parametrize(
    ("shape", "part_shape", "where"),
    [
        ((8, 6), (4, 6), (slice(0, 2), slice(None))),  # half of a part
        ((8, 6), (2, 6), (slice(0, 4), slice(None))),  # two parts
        ((8, 6), (2, 6), (slice(None), slice(2, 4))),  # a piece of each part
        ((8, 6), (4, 3), (slice(4, 8), slice(3, 6))),  # a part
        ((12,), (4,), (slice(3, 9),)),  # across three parts
        ((4, 0), (2, 0), (slice(None), slice(None))),
        ((), (), ()),
    ],
)
def test_any_index_is_put_together_from_any_parts(shape, part_shape, where):
    values = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    array = Saved(
        name="a", shape=shape, dtype=values.dtype, sharding=sharding, part_shape=part_shape, checksums=()
    )
    pieces = {number: values[array.place(number)] for number in _overlapping(array, where)}
    assert len(pieces) <= array.count
    np.testing.assert_array_equal(_joined(array, pieces, where), values[where], strict=True)


@pytest.mark.slow
def test_what_was_whole_before_the_first_host_died_comes_back_in_one_process(without_the_first):
    restored = restored_here(without_the_first[0])
    assert (restored.step, restored.accuracy) == (4, None)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["a bit", "half", "gone"])
@pytest.mark.parametrize("host", [0, 1])
def test_damage_of_any_host_is_noticed(whole, capsys, host, change):
    data = whole / "4" / "state" / f"ocdbt.process_{host}" / "d"
    largest = max(data.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content if change == "a bit" else content[: len(content) // 2])
    if change == "gone":
        shutil.rmtree(data.parent)
    verify(whole / "3", 3)
    with pytest.raises(DamagedError, match=f"checkpoint 4 in {whole} is damaged: "):
        verify(whole / "4", 4)
    restored = restored_here(whole)
    assert (restored.step, restored.accuracy, restored.stream) == (3, 0.5, {"step": 3})
    assert f"warning: checkpoint 4 in {whole} is damaged: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("exists", [False, True])
def test_hosts_that_share_no_folder_leave_the_save_to_the_first(tmp_path, exists):
    if exists:
        (tmp_path / "1" / "checkpoints").mkdir(parents=True)
    with running(2, 1, SCRIPT, "once", tmp_path / "{process}" / "checkpoints") as processes:
        ends = finished(processes)
    assert [code for code, *_ in ends] == [0, 0], ends
    warning = f"warning: host 1 cannot write to the first host's {tmp_path}/0/checkpoints: each save gathers "
    assert warning in ends[0][2]
    assert ends[1][2] == ""
    assert names(tmp_path / "0" / "checkpoints") == ["1"]
    assert not exists or names(tmp_path / "1" / "checkpoints") == []


def test_one_process_never_gathers_a_divided_state(tmp_path):
    def gather(state):
        raise AssertionError("gathered")

    (tmp_path / ".host-1-0123456789abcdef").touch()  # left by a host that was killed as it began
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(), gather=gather)
    checkpoints.save(divided_states.state(1), 1, None)
    checkpoints.close()
    restored = restored_here(tmp_path)
    assert restored.step == 1
    assert np.shape(jax.tree.leaves(restored.state)[0]) == ()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("PERMISSION_DENIED: HTTP 403: of a bucket"),
        RuntimeError("the bucket is asleep"),
    ],
)
def test_a_failure_of_another_host_is_treated_as_one_of_this_host(error):
    other = _problem(_described(error), 7)
    assert type(failure("/run", other)) is type(failure("/run", error))
    assert bool(system_error_of(other)) == bool(system_error_of(error))
    assert reason(other) == f"{reason(error)} (host 7)"


def test_what_another_host_wrote_must_be_there(tmp_path):
    (tmp_path / "ocdbt.process_0").mkdir()
    lead = Lead(Exchange(), {0, 1})
    with pytest.raises(OtherHostError, match=f"what host 1 wrote is not in {tmp_path} yet"):
        lead.check(tmp_path)
    (tmp_path / "ocdbt.process_1").mkdir()
    lead.check(tmp_path)
