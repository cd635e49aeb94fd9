"""`wait --on-loss`: a run that has trained goes on with fewer slices, and nothing else ever moves it."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from api_server import Asked, Handler, Object, failure, now, pod
from commands_on_api import Commands, Result
from movable_run import JOB, Cluster

from launcher import TrainingJob, render
from launcher.runs.slice_loss import Absence, present

STEP = "progress step=40 steps=269 loss=2.2 images_per_second=9\n"
QUEUED, SUSPENDED, AWAY = -1, -2, -3  # in the place of a number of slices
LINE = "wait run --timeout 9s --on-loss 1"


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, on_api: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("launcher.runs.watch.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("launcher.cli.verbs.wait.LOSS_SECONDS", 0.3)
    monkeypatch.setattr("launcher.runs.shrinking.GONE_SECONDS", 0.1)
    monkeypatch.setattr("api_server.MAX_WATCH_SECONDS", 0.02)


def slice_pods(index: int, hosts: int, changes: Object) -> list[Object]:
    """The pods of a slice, on nodes of their own."""
    made = [pod(host) for host in range(hosts)]
    for entry in made:
        name = f"run-slice-{index}-{entry['metadata']['labels']['batch.kubernetes.io/job-completion-index']}"
        entry["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        entry["metadata"]["labels"]["jobset.sigs.k8s.io/job-index"] = str(index)
        entry["spec"]["nodeName"] = f"node-{name}"
        entry["metadata"] |= changes.get("metadata", {})
        entry["spec"] |= changes.get("spec", {})
        entry["status"] |= changes.get("status", {})
    return made


UNSCHEDULED: Object = {"spec": {"nodeName": ""}, "status": {"phase": "Pending", "containerStatuses": []}}
ABSENCES: dict[str, Object] = {
    "pending": UNSCHEDULED,
    "leaving": {"metadata": {"deletionTimestamp": now()}},
    "node-gone": {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
    "node-silent": {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
    "failed": {"status": {"phase": "Failed"}},
}


class Losing(Cluster):
    """A run of several slices; `script` is how many of them are there at each look, its last entry for ever.

    Args:
      trained: whether the log of the first host has a step.
      absence: what the pods of a slice are that is not there; None: there are none.
    """

    def __init__(
        self,
        script: Sequence[int],
        slices: int = 2,
        trained: bool = True,
        absence: Object | None = UNSCHEDULED,
        job: dict[str, Any] | None = None,
        spoil: Any = None,
    ) -> None:
        super().__init__(JOB | {"num_slices": slices} | (job or {}), spoil)
        self.slices, self.script, self.trained, self.absence = slices, list(script), trained, absence
        self.looks = 0
        self.ends_after = 0  # looks at a run of fewer slices
        self.objects["jobsets"][0]["status"] = {"restarts": 1}
        self._set()

    def answered(self, handler: Handler, asked: Asked) -> Any:
        runs = self.objects["jobsets"]
        if asked.plural == "jobsets" and asked.method == "GET" and not asked.name:
            self.looks += 1
            self._set()
            if self._count() == AWAY:
                return handler.cut()
        answer = super().answered(handler, asked)
        runs = self.objects["jobsets"]
        if answer and runs and self._replicas() < self.slices:
            self._set()
        return answer

    def _count(self) -> int:
        return self.script[min(self.looks, len(self.script) - 1)]

    def _replicas(self) -> int:
        return self.objects["jobsets"][0]["spec"]["replicatedJobs"][0]["replicas"]

    def _set(self) -> None:
        """Set pods and counts as they are at this look; a run that was moved is soon over."""
        if not self.objects["jobsets"]:
            self.objects["pods"] = []
            return
        [run] = self.objects["jobsets"]
        moved = self._replicas() < self.slices
        count = self._replicas() if moved else self._count()
        there = max(count, 0)
        groups = [{"name": "slice", "ready": there if there == self._replicas() else 0, "succeeded": 0}]
        run["spec"]["suspend"] = count in (QUEUED, SUSPENDED)
        if count == QUEUED:
            run["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
        else:
            run["metadata"]["labels"].pop("kueue.x-k8s.io/queue-name", None)
        over = [{"type": "Completed", "status": "True"}] if moved else []
        run["status"] = {"restarts": 1, "replicatedJobsStatus": groups, "conditions": over}
        hosts = run["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"]
        pods: list[Object] = []
        for index in range(self._replicas()):
            if index < there:
                pods += slice_pods(index, hosts, {})
            elif self.absence is not None and count >= 0:
                pods += slice_pods(index, hosts, self.absence)
        for entry in pods:
            entry["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"] = "run"
            if self.trained:
                self.logs[entry["metadata"]["name"]] = STEP
        self.objects["pods"] = pods


def steps(result: Result) -> str:
    return "\n".join(result.err)


@pytest.mark.parametrize("absence", [None, *ABSENCES.values()], ids=["absent", *ABSENCES])
def test_a_run_goes_on_without_a_slice_that_does_not_come_back(on_api: Commands, absence: Object) -> None:
    with Losing([2, 2, 2, 1], absence=absence) as server:
        result = on_api(server, LINE)
        assert (result.code, result.out) == (0, ["run completed"]), result.err
        assert server.shapes() == [("cpu-2x1", 1)]
        assert server.changes() == ["DELETE", "PATCH"]
        [run] = server.objects["jobsets"]
        expected = render(TrainingJob(**JOB))[-1]["spec"]
        assert run["spec"] == expected | {"suspend": False}
    assert result.err[0] == "run has 2 slices; where one is missing for 0 s, it goes on with 1"
    assert "run has 1 of 2 slices; without the other for 0 s, it goes on with 1" in result.err
    assert "run goes on with 1 x cpu-2x1, from its last checkpoint" in result.err


@pytest.mark.parametrize(
    ("script", "trained", "sentence"),
    [
        ([0], False, "run has 0 of 2 slices, and no step of it has been seen"),  # in no queue, never started
        ([QUEUED], False, "run is queued"),
        ([1], False, "run has 1 of 2 slices, and no step of it has been seen"),
        ([2, 2, 1, 1, 1, 1, 2] * 40, True, "run has 1 of 2 slices; without the other"),  # it comes back
        ([2, 2, 1, 1, *[QUEUED] * 40], True, "run is queued"),  # preempted, and still waiting
        ([2, 2, *[QUEUED] * 30, 0, 1, 2], True, "run is queued"),  # preempted, and admitted again
        ([2, 2, *[SUSPENDED] * 60], True, "run is suspended"),
        ([2, 2, 0], True, "run has 0 of 2 slices, fewer than --on-loss 1"),
        (
            [2, 2, 1, AWAY],
            True,
            "error: what became of run 'run' is not known",
        ),  # and the control plane does not answer any more
    ],
)
def test_nothing_else_moves_it(on_api: Commands, script: list[int], trained: bool, sentence: str) -> None:
    with Losing(script, trained=trained) as server:
        result = on_api(server, "wait run --on-loss 1 --timeout 1s")
        assert result.code in (3, 4), result.err  # not over in time, or not known
        assert server.looks > 5
        assert server.changes() == []
        assert server.shapes() == [("cpu-2x1", 2)]
    assert any(line.startswith(sentence) for line in result.err), result.err


def test_the_most_slices_that_fit_are_kept(on_api: Commands) -> None:
    """A batch of 64 is no multiple of three slices' six devices, so three of four go on as two."""
    with Losing([4, 4, 3], slices=4) as server:
        result = on_api(server, LINE)
        assert result.code == 0, result.err
        assert server.shapes() == [("cpu-2x1", 2)]
    assert result.err[0].endswith("it goes on with 2 or 1")


def test_where_no_number_fits_it_waits_and_says_so(on_api: Commands) -> None:
    with Losing([4, 4, 1], slices=4) as server:
        result = on_api(server, "wait run --on-loss 2 --timeout 1s")
        assert result.code == 3
        assert server.changes() == []
    assert "run has 1 of 4 slices, fewer than --on-loss 2; it waits for them" in result.err
    with Losing([6, 6, 5], slices=6, job={"batch": 36}) as server:
        result = on_api(server, "wait run --on-loss 4 --timeout 1s")
        assert result.code == 2  # neither 5 nor 4 slices divide 36: said before anything is waited for
        assert server.changes() == []
    assert result.err[0].startswith("error: batch: must be a multiple of the run's 8 devices, got 36")
    with Losing([6, 6, 4], slices=6, job={"batch": 60}) as server:
        result = on_api(server, "wait run --on-loss 4 --timeout 1s")
        assert result.code == 3
        assert server.changes() == []
    assert any("run has 4 of 6 slices, and fits none from 4 to 4 (batch: must be" in s for s in result.err)


@pytest.mark.parametrize(
    ("line", "job", "error"),
    [
        ("--on-loss 0", {}, "error: on-loss: must be a whole number of at least 1, got 0"),
        ("--on-loss one", {}, "error: on-loss: must be a whole number of at least 1, got 'one'"),
        ("--on-loss 3", {}, "error: on-loss: must be at most the run's number of slices, 2, got 3"),
        ("--loss-after 5m", {}, "error: loss-after: must come with --on-loss"),
        ("--on-loss 1 --loss-after 3s", {}, "error: loss-after: must be at least 30s, got '3s'"),
        ("--on-loss 1 --loss-after soon", {}, "error: loss-after: must be "),
        ("--on-loss 1", {"bucket": None}, "error: run-dir: must outlive the pods"),
        ("--on-loss 1", {"set": ["checkpoint.enabled=false"]}, "error: set: checkpoint.enabled must"),
    ],
)
def test_a_wrong_request_ends_before_it_waits(
    on_api: Commands, line: str, job: dict[str, Any], error: str
) -> None:
    with Losing([2, 2, 1], job=job) as server:
        result = on_api(server, f"wait run {line}")
        assert result.code == 2, result.err
        assert result.err[0].startswith(error)
        assert server.changes() == []
        hint = [*result.err, ""][1].removeprefix("hint: ")
        if hint.startswith(("--on-loss", "--loss-after")):
            both = f"--on-loss 1 {hint}" if hint.startswith("--loss-after") else hint
            assert on_api(server, f"wait run --timeout 1s {both}").code in (0, 3)


def test_a_run_of_another_cluster_is_waited_for_as_before(on_api: Commands) -> None:
    with Losing([2]) as server:
        [run] = server.objects["jobsets"]
        run["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
        refused = on_api(server, LINE)
        assert refused.code == 1
        assert "another cluster runs its pods" in refused.err[0]
        hint = refused.err[1].removeprefix("hint: resnet-launch ")
        assert on_api(server, f"{hint} --timeout 1s").code == 3


def test_another_person_s_run_needs_its_name(on_api: Commands) -> None:
    with Losing([2, 2, 1]) as server:
        [run] = server.objects["jobsets"]
        run["metadata"]["annotations"]["resnet-launch/submitted-by"] = "somebody-else"
        refused = on_api(server, LINE)
        assert refused.code == 2
        assert refused.err[0].startswith(
            "error: yes: must be the run's name to resize the run of somebody-else"
        )
        assert server.changes() == []
        assert on_api(server, f"{LINE} --yes run").code == 0
        assert server.shapes() == [("cpu-2x1", 1)]


def test_it_acts_once_per_loss(on_api: Commands) -> None:
    """The run of one slice does not start; that it never trained in this shape keeps it as it is."""

    class Twice(Losing):
        def _set(self) -> None:
            super()._set()
            if self.objects["jobsets"] and self._replicas() < self.slices:
                self.objects["jobsets"][0]["status"] = {"restarts": 1}
                self.logs, self.objects["pods"] = {}, self.objects["pods"][:2]

    with Twice([4, 4, 2], slices=4) as server:
        result = on_api(server, f"{LINE} --timeout 2s")
        assert result.code == 3
        assert server.shapes() == [("cpu-2x1", 2)]
        assert server.changes() == ["DELETE", "PATCH"]
    assert "run has 1 of 2 slices, and no step of it has been seen; it is not moved" in result.err


def test_at_the_smallest_number_it_only_waits(on_api: Commands) -> None:
    with Losing([1], slices=1) as server:
        result = on_api(server, "wait run --on-loss 1 --timeout 1s")
        assert (result.code, server.changes()) == (3, [])
    assert result.err[0] == "run has 1 slice already, the smallest number of --on-loss"


def moves(server: Losing) -> bool:
    return server.shapes() == [("cpu-2x1", 1)]


@pytest.mark.parametrize("kind", ["refused", "lost"])
def test_after_each_request_that_fails_it_goes_on_by_itself(
    on_api: Commands, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever request of the move fails, at the end the run is on one slice."""
    monkeypatch.setattr("launcher.cli.verbs.wait.LOSS_SECONDS", 0.08)
    with Losing([2, 2, 1]) as server:
        assert on_api(server, LINE).code == 0
        first = next(n for n, asked in enumerate(server.asked) if "dryRun" in asked.query)
        total = len(server.asked) - first
    assert total > 5, print("TOTAL", total) or 1
    print("TOTAL", total)
    for number in range(total):
        seen = itertools.count()
        begun = False

        def spoil(handler: Handler, asked: Asked, number: int = number, seen: Any = seen) -> Any:
            nonlocal begun
            begun = begun or "dryRun" in asked.query
            if not begun or next(seen) != number:
                return None
            if kind == "refused":
                return failure(500, "etcdserver: leader changed")
            return handler.cut()

        with Losing([2, 2, 1], spoil=spoil) as server:
            result = on_api(server, LINE)
            assert moves(server), (number, result.err)
            assert result.code in (0, 4), (number, result.err)
            if result.code == 4:  # the last request of all, for what became of the run
                assert "is not known" in steps(result)


def test_a_refusal_stops_nothing_and_it_is_tried_again(on_api: Commands) -> None:
    count = 0

    def spoil(handler: Handler, asked: Asked) -> Any:
        nonlocal count
        if "dryRun" in asked.query and count < 3:
            count += 1
            assert "DELETE" not in server.changes()
            return failure(403, "exceeded quota: q", "Forbidden")
        return None

    with Losing([2, 2, 1], spoil=spoil) as server:
        result = on_api(server, LINE)
        assert result.code == 0, result.err
        assert moves(server)
        assert server.changes() == ["DELETE", "PATCH"]
    assert sum("has not been moved yet, and it is tried again" in line for line in result.err) >= 1
    assert "the run goes on as it was" in steps(result)


def test_ctrl_c_in_the_middle_names_the_command_that_goes_on(on_api: Commands) -> None:
    def spoil(handler: Handler, asked: Asked) -> Any:
        if asked.method == "PATCH" and asked.plural == "jobsets" and "dryRun" not in asked.query:
            os.kill(os.getpid(), signal.SIGINT)
            return handler.cut()
        return None

    with Losing([2, 2, 1], spoil=spoil) as server:
        result = on_api(server, LINE)
        assert result.code == 4
        assert server.shapes() == []
        assert "the run has ended with its checkpoint saved, and is not on the cluster" in result.err[-2]
        assert result.err[-1] == "hint: resnet-launch resize run --num-slices 1 goes on"
        server.spoil = None
        assert on_api(server, "resize run --num-slices 1 --no-compile").code == 0
        assert moves(server)


def test_a_run_that_somebody_deletes_is_not_made_again(on_api: Commands) -> None:
    def spoil(handler: Handler, asked: Asked) -> Any:
        if server.looks > 6:
            server.objects["jobsets"] = []
        return None

    with Losing([2, 2, 1], spoil=spoil) as server:
        result = on_api(server, LINE)
        assert result.code == 1
        assert server.changes() == []
    assert "error: run 'run' is gone" in result.err


def test_the_run_that_took_its_place_is_left_alone(on_api: Commands) -> None:
    """Another command replaces the run between the last look and the deletion."""

    def spoil(handler: Handler, asked: Asked) -> Any:
        if "dryRun" in asked.query:
            server.objects["jobsets"][0]["metadata"]["uid"] = "uid-of-another"
        return None

    with Losing([2, 2, 1], spoil=spoil) as server:
        result = on_api(server, "wait run --on-loss 1 --timeout 1s")
        assert "PATCH" not in server.changes(), result.err
        assert server.shapes() == [("cpu-2x1", 2)]
    assert any("has been moved by another command: 2 x cpu-2x1" in line for line in result.err), result.err


def test_two_commands_move_a_run_once(tmp_path: Path) -> None:
    """Two processes watch one run: both end with it, and it was ended and started once."""
    program = (
        "import sys; from launcher.cli import main; from launcher.runs import watch, shrinking\n"
        "from launcher.cli.verbs import wait\n"
        "watch.LOOK_SECONDS, wait.LOSS_SECONDS, shrinking.GONE_SECONDS = 0.03, 0.3, 3\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    with Losing([2] * 8 + [1]) as server:
        config = str(server.kubeconfig(tmp_path))
        command = [sys.executable, "-c", program, *LINE.split(), "--kubeconfig", config]
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
            for _ in range(2)
        ]
        ends = [(*process.communicate(timeout=60), process.returncode) for process in both]
        assert [end[2] for end in ends] == [0, 0], ends
        assert moves(server)
        assert server.changes().count("PATCH") - server.refused == 1, server.changes()


def test_only_time_between_two_looks_counts() -> None:
    absence = Absence(20)
    for at in (0, 10, 20, 1000):
        absence.missing(1, at)
    assert absence.seconds == 40  # 10 + 10 + 20 of a machine that slept
    absence.interrupt()
    absence.missing(1, 2000)
    assert absence.seconds == 40
    absence.missing(1, 2010)
    assert (absence.seconds, absence.steady()) == (50, None)
    absence.missing(1, 2020)
    assert absence.steady() == 1
    absence.missing(2, 2030)
    assert absence.steady() is None
    absence.complete()
    assert (absence.seconds, absence.steady()) == (0, None)


def counted(change: Callable[[list[Object]], Any]) -> int:
    job: dict[str, Any] = JOB | {"num_slices": 2}
    jobset = render(TrainingJob(**job))[-1]
    pods = [*slice_pods(0, 2, {}), *slice_pods(1, 2, {})]
    change(pods)
    return present(jobset, pods)


def test_a_slice_is_there_once_all_its_hosts_are() -> None:
    assert counted(lambda pods: None) == 2
    assert counted(lambda pods: pods.pop()) == 1
    assert counted(lambda pods: pods.clear()) == 0
    assert counted(lambda pods: pods.extend(slice_pods(1, 2, UNSCHEDULED))) == 2
    assert counted(lambda pods: pods[0]["status"].update(phase="Pending")) == 2  # it pulls its image
    assert counted(lambda pods: pods[0]["status"].update(phase="Unknown")) == 1
    assert counted(lambda pods: [p.pop("status") for p in pods]) == 0
