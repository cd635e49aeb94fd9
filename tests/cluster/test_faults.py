"""Faults of a real cluster: the run ends with the losses of an undisturbed run."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pod_runs import SHORT, TINY, Run
from testcluster import Cluster
from testcluster.objects import eventually


@pytest.fixture
def start(cluster: Cluster, namespace: str, undisturbed: Run) -> Iterator[Callable[[str], Run]]:
    """Start the run to be disturbed; its pods are gone before the next test."""
    runs: list[Run] = []

    def begin(flags: str = "") -> Run:
        runs.append(Run(cluster, namespace, "run", f"{TINY} {SHORT} {flags}"))
        return runs[-1]

    yield begin
    cluster.bucket.start()
    for run in runs:
        run.delete()


def restarts(run: Run) -> tuple[int, int]:
    """Return (all restarts, counted restarts)."""
    restarts = run.status()["restarts"]
    return restarts["total"], restarts["counted"]


def restored(run: Run) -> list[int]:
    return [event["step"] for event in run.events("restore")]


def test_a_killed_pod_costs_the_steps_since_the_last_save(
    start: Callable[..., Run], undisturbed: Run
) -> None:
    """First a worker, then the coordinator."""
    run = start()
    for attempt, (host, step) in enumerate(((1, 45), (0, 105))):
        run.reach(f"progress step={step} ", attempt)
        run.signal(host, signal.SIGKILL, attempt)
    assert run.wait() == "Completed", run.report()
    assert restarts(run) == (2, 2)
    first, second = restored(run)
    assert (first % 20, second % 20) == (0, 0)
    assert second > first
    assert run.losses() == undisturbed.losses()
    assert run.rows("evaluate") == undisturbed.rows("evaluate")


def test_a_pod_with_notice_saves_where_it_is_and_uses_no_budget(
    start: Callable[..., Run], undisturbed: Run
) -> None:
    """A pod that is deleted, one that is evicted, and a SIGTERM as a spot notice sends it."""
    run = start("--max-restarts 0")
    faults: list[Callable[[], None]] = [
        lambda: run.delete_pod(run.pod(1)),
        lambda: run.evict(run.pod(0, attempt=1)),
        lambda: run.signal(1, signal.SIGTERM, attempt=2),
    ]
    for attempt, fault in enumerate(faults):
        run.reach("progress step=", attempt)
        fault()
    assert run.wait() == "Completed", run.report()
    assert restarts(run) == (3, 0)
    saved = [event["step"] for event in run.events("preempted")]
    assert len(saved) == 3
    assert restored(run) == saved
    assert run.losses() == undisturbed.losses()


def test_a_host_that_hangs_is_given_up_by_the_watchdog_of_another(
    start: Callable[..., Run], undisturbed: Run
) -> None:
    run = start("--set train.hang_seconds=15")
    run.reach("progress step=45 ")
    run.signal(1, signal.SIGSTOP)
    assert run.first_exit() == 45
    assert run.wait() == "Completed", run.report()
    assert restarts(run) == (1, 1)
    assert run.losses() == undisturbed.losses()


def test_an_api_server_and_a_bucket_that_are_away_for_a_while_are_waited_for(
    start: Callable[..., Run], undisturbed: Run
) -> None:
    """The API server restarts, the bucket is busy during a save, and again while the next pods restore."""
    run = start()
    run.reach("progress step=5 ")
    run.cluster.restart_apiserver()
    run.reach("progress step=39 ")
    unavailable(run, 20)
    assert restarts(run) == (0, 0)
    run.reach("progress step=105 ")
    run.signal(1, signal.SIGKILL)
    unavailable(run, 20)  # the new pods start meanwhile
    assert run.wait() == "Completed", run.report()
    assert restored(run)[-1] >= 40
    assert run.losses() == undisturbed.losses()


def unavailable(run: Run, seconds: float) -> None:
    """Answer every request with 503 for a while."""
    run.cluster.bucket.refuse()
    time.sleep(seconds)
    run.cluster.bucket.start()


def test_a_bucket_that_is_gone_for_good_ends_the_run_and_says_so(start: Callable[..., Run]) -> None:
    run = start("--max-restarts 1 --set train.hang_seconds=20 --set train.first_step_seconds=90")
    run.reach("event name=save", seconds=240)
    assert eventually(lambda: "checkpoints/20/commit_success.txt" in run.objects("checkpoints/"), 60)
    run.cluster.bucket.stop()
    assert run.wait() == "Failed", run.report()
    failed = run.status()["failed"]
    assert failed["exit_code"] in (43, 45), failed
    assert "run directory" in failed["message"], failed
    run.cluster.bucket.start()
    assert "checkpoints/20/commit_success.txt" in run.objects("checkpoints/")


def test_half_a_checkpoint_is_never_restored(start: Callable[..., Run], undisturbed: Run) -> None:
    """Both pods are killed after some objects of a checkpoint are written and before its commit mark."""
    run = start()
    assert eventually(lambda: "checkpoints/20/commit_success.txt" in run.objects("checkpoints/"), 240)
    for attempt in range(4):
        run.reach("progress step=", attempt)
        step = interrupt_a_save(run, attempt)
        if f"checkpoints/{step}/commit_success.txt" not in run.objects(f"checkpoints/{step}/"):
            break
    else:
        pytest.fail("every save was over before the kill")
    assert run.wait() == "Completed", run.report()
    assert restored(run)[-1] < step
    assert run.losses() == undisturbed.losses()


def interrupt_a_save(run: Run, attempt: int) -> int:
    """Kill both pods as soon as a new checkpoint begins; return its step."""
    before = {name.split("/")[1] for name in run.objects("checkpoints/")}
    victims = [run.cluster.processes(run.pod(host, attempt), run.namespace)[0] for host in (0, 1)]
    new: set[str] = set()

    def begun() -> bool:
        new.update(name.split("/")[1] for name in run.objects("checkpoints/"))
        return bool(new - before)

    assert eventually(begun, 120)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    return int((new - before).pop())


def test_a_wrong_flag_fails_the_run_at_once(start: Callable[..., Run], tmp_path: Path) -> None:
    """A patch adds the flag, as an image that is older than the launcher would meet an unknown one."""
    containers = [{"name": "trainer", "args": ["--nonsense", "1"]}]
    job = {"template": {"spec": {"template": {"spec": {"containers": containers}}}}}
    patch = tmp_path / "patch.json"
    patch.write_text(json.dumps({"spec": {"replicatedJobs": [{"name": "slice", **job}]}}))
    run = start(f"--patch {patch}")
    assert run.first_exit() == 44
    assert run.wait() == "Failed", run.report()
    status = run.status()
    assert status["restarts"]["total"] == 0
    assert status["failed"]["message"].startswith(
        "error: flag: must be a flag of python -m trainer, got '--nonsense'"
    )
