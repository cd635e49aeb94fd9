"""Each host writes its part of a divided state: real hosts, real failures, killed in the middle of a save."""

import errno
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


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 4])
def test_what_was_whole_before_a_host_died_comes_back_on_other_hosts(whole, hosts):
    with running(hosts, 1, SCRIPT, "restore", whole) as processes:
        ends = finished(processes)
    assert [code for code, *_ in ends] == [0] * hosts, ends
    assert all("restored 4 None {}\n" in out for _, out, _ in ends)


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
