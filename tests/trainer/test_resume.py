"""The proof of resume: a process is killed in the middle of an epoch, and the run ends bit for bit alike."""

import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from local_runs import STEPS, finish, launch, losses, until

from trainer.rundir.goodput import account


def pid_of(pod_suffix: str, launcher_pid: int) -> int:
    """The trainer process of one pod among the children of a launcher."""
    for children in Path(f"/proc/{launcher_pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            pod = [
                v
                for v in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if v.startswith(b"RESNET_POD=")
            ]
            if pod and pod[0].decode().endswith(pod_suffix):
                return int(pid)
    raise AssertionError(f"no running pod ends in {pod_suffix}")


def evaluations(run_dir):
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "evaluate"]


def arrays(run_dir):
    path = run_dir / "checkpoints" / str(STEPS) / "state"
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path).item_metadata.tree
        here = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), saved)  # as numpy: its mesh is not here
        restored = checkpointer.restore(path, here)
    flat = {
        f"{group}.{name}": a for group in ("params", "stats", "opt") for name, a in restored[group].items()
    }
    assert len(flat) > 40
    return flat


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("undisturbed")
    code, out = finish(launch(run_dir))
    assert code == 0, out
    return run_dir


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the pod's process in /proc")
@pytest.mark.parametrize("victim", ["slice-0-1", "slice-0-0"], ids=["worker", "coordinator"])
def test_a_killed_process_changes_nothing(undisturbed, tmp_path, victim):
    process = launch(tmp_path)
    lines = until(process, "progress step=25 ")
    os.kill(pid_of(victim, process.pid), signal.SIGKILL)
    code, out = finish(process, lines)
    assert code == 0, out
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    [restored] = [e["step"] for e in events if e["name"] == "restore"]
    assert restored in (10, 20)  # the save at 20 may not have been whole yet
    assert account(events).seconds["again"] > 0
    assert [step for step, _ in losses(tmp_path)] == list(range(1, STEPS + 1))
    assert losses(tmp_path) == losses(undisturbed)
    assert evaluations(tmp_path) == evaluations(undisturbed)
    again, before = arrays(tmp_path), arrays(undisturbed)
    assert again.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.slow
def test_sigterm_to_the_launcher_saves_and_the_same_command_goes_on(undisturbed, tmp_path):
    process = launch(tmp_path)
    lines = until(process, "progress step=3 ")
    process.send_signal(signal.SIGTERM)
    code, out = finish(process, lines)
    assert code != 0
    assert "event name=preempted" in out
    code, out = finish(launch(tmp_path))
    assert code == 0, out
    assert "event name=restore" in out
    assert losses(tmp_path) == losses(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "hosts"), [("cpu-4x1", 4), ("cpu-1x2", 1)])
def test_the_rest_on_another_shape_has_the_losses_of_two_hosts(undisturbed, tmp_path, shape, hosts):
    process = launch(tmp_path)
    lines = until(process, "progress step=40 ")
    process.send_signal(signal.SIGTERM)
    finish(process, lines)
    code, out = finish(launch(tmp_path, "--slice", shape))
    assert code == 0, out
    assert "event name=restore" in out
    starts = [
        json.loads(line)
        for line in (tmp_path / "events.jsonl").read_text().splitlines()
        if '"name": "start"' in line
    ]
    assert [start["hosts"] for start in starts] == [2, hosts]
    one, other = losses(tmp_path), losses(undisturbed)
    assert [step for step, _ in one] == [step for step, _ in other] == list(range(1, STEPS + 1))
    # The order of summation differs: less than 1e-5, which grows by the steps that build on each other.
    np.testing.assert_allclose([loss for _, loss in one], [loss for _, loss in other], atol=1e-5)
    assert [row["examples"] for row in evaluations(tmp_path)] == [360] * len(evaluations(undisturbed))
