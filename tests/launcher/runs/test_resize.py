"""`resize`: everything is checked before the run ends, and each interruption leaves a state that is named."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from api_server import Asked, Handler, failure
from commands_on_api import Commands
from movable_run import JOB, Cluster

from launcher import TrainingJob, render

UNSAVED = {"set": ["checkpoint.enabled=false"]}
LINE = "resize run --num-slices 2 --no-compile"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        ("--num-slices 2", ("cpu-2x1", 2)),
        ("--slice cpu-4x2", ("cpu-4x2", 1)),
        ("--slice cpu-1x1", ("cpu-1x1", 1)),
    ],
)
def test_the_run_goes_on_in_another_shape(on_api: Commands, flags: str, shape: tuple[str, int]) -> None:
    with Cluster() as server:
        result = on_api(server, f"resize run {flags} --no-compile")
        assert (result.code, result.out) == (0, [f"run goes on with {shape[1]} x {shape[0]}"]), result.err
        assert server.shapes() == [shape]
        assert server.changes() == ["DELETE", "PATCH"]
        [run] = server.objects["jobsets"]
        expected = render(TrainingJob(**JOB | {"slice": shape[0], "num_slices": shape[1]}))[-1]
        assert run["spec"] == expected["spec"]
        again = on_api(server, f"resize run {flags} --no-compile")
        assert again.out == [f"run has this shape already: {shape[1]} x {shape[0]}"]
        assert len(server.changes()) == 2


@pytest.mark.parametrize(
    ("line", "job", "error"),
    [
        ("resize run --no-compile", {}, "error: num-slices: must be given, or slice"),
        ("resize run --num-slices 0", {}, "error: num-slices: must be "),
        ("resize run --num-slices two", {}, "error: num-slices: must be "),
        ("resize run --slice cpu-0x1", {}, "error: slice: must be "),
        ("resize run --slice v4-33", {}, "error: slice: must be "),
        ("resize run --slice cpu-3x1", {}, "error: batch: must be a multiple of the run's 3 devices, got 64"),
        ("resize rum --num-slices 2", {}, "error: no run 'rum' in namespace default"),
        (
            "resize run --num-slices 2",
            {"bucket": None},
            "error: run-dir: must outlive the pods of a run that is",
        ),
        (
            "resize run --num-slices 2",
            {"set": ["checkpoint.enabled=false"]},
            "error: set: checkpoint.enabled must",
        ),
    ],
)
def test_what_does_not_fit_stops_nothing(
    on_api: Commands, line: str, job: dict[str, Any], error: str
) -> None:
    with Cluster(JOB | job) as server:
        result = on_api(server, line)
        assert result.code in (1, 2)
        assert result.err[0].startswith(error)
        assert server.changes() == []


@pytest.mark.parametrize(
    "job",
    [
        {"set": ["log.predicted=9", "optim.lr=1"]},
        {"set": ["optim.lr=1"], "args": ["--set", "log.predicted=9"]},
    ],
)
def test_the_prediction_of_the_old_shape_goes(on_api: Commands, job: dict[str, Any]) -> None:
    with Cluster(JOB | job) as server:
        assert (
            on_api(server, "resize run --num-slices 1 --no-compile").out[0].startswith("run has this shape")
        )
        assert on_api(server, LINE).code == 0
        [run] = server.objects["jobsets"]
        expected = render(TrainingJob(**JOB | {"num_slices": 2, "set": ["optim.lr=1"]}))[-1]
        assert run["spec"] == expected["spec"]


def test_the_run_is_told_the_prediction_of_the_new_shape(on_api: Commands) -> None:
    with Cluster(JOB | {"slice": "v5e-1"}) as server:
        result = on_api(server, "resize run --slice v5e-4 --estimate")
        assert result.code == 0, result.err
        [run] = server.objects["jobsets"]
        pod = run["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
        [predicted] = [word for word in pod["containers"][0]["command"] if word.startswith("log.predicted=")]
        assert float(predicted.partition("=")[2]) > 100
        assert any("GiB" in line for line in result.err)


def test_the_hint_names_a_flag_that_is_enough(on_api: Commands) -> None:
    with Cluster() as server:
        refused = on_api(server, "resize run --no-compile")
        hint = refused.err[1].removeprefix("hint: ")
        assert on_api(server, f"resize run --no-compile {hint}").code == 0
        assert server.shapes() == [("cpu-2x1", 2)]


def test_a_run_that_is_over_or_another_person_s_stays(on_api: Commands) -> None:
    with Cluster() as server:
        [run] = server.objects["jobsets"]
        run["metadata"]["annotations"]["resnet-launch/submitted-by"] = "somebody-else"
        result = on_api(server, LINE)
        assert (
            result.err[0]
            == "error: yes: must be the run's name to resize the run of somebody-else, got 'none'"
        )
        run["status"] = {"conditions": [{"type": "Completed", "status": "True"}]}
        assert on_api(server, LINE).err[0] == "error: run 'run' is completed"
        assert server.changes() == []


def requests_of_a_resize(on_api: Commands) -> list[Asked]:
    with Cluster() as server:
        assert on_api(server, LINE).code == 0
        return server.asked


STATES = (
    "the run goes on as it was",
    "the run has ended with its checkpoint saved, and is not on the cluster",
    "the run is on its new shape",
    "the run is on the cluster, or has ended with its checkpoint saved",
)


@pytest.mark.parametrize("kind", ["refused", "lost", "ctrl-c"])
def test_after_each_request_the_same_command_goes_on(on_api: Commands, kind: str) -> None:
    total = len(requests_of_a_resize(on_api))
    assert total > 8
    for number in range(total):
        count = 0

        def spoil(handler: Handler, asked: Asked, number: int = number) -> Any:
            nonlocal count
            count += 1
            if count != number + 1:
                return None
            if kind == "refused":
                return failure(403, "jobsets is forbidden: not now", "Forbidden")
            if kind == "lost":
                handler.close_connection = True
                return True
            os.kill(os.getpid(), signal.SIGINT)
            return None

        with Cluster(spoil=spoil) as server:
            first = on_api(server, LINE)
            server.spoil = None
            if first.code:
                assert first.err, number
                stopped = "DELETE" in server.changes()
                if stopped:
                    assert any(state in line for line in first.err for state in STATES), first.err
            again = on_api(server, LINE)
            assert again.code == 0, (number, first.err, again.err)
            assert server.shapes() == [("cpu-2x1", 2)], (number, first.err, again.err)
            [run] = server.objects["jobsets"]
            env = run["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0][
                "env"
            ]
            assert {"name": "TZ", "value": "UTC"} in env


def test_what_is_kept_is_private_and_goes_in_the_end(on_api: Commands, tmp_path: Path) -> None:
    def spoil(handler: Handler, asked: Asked) -> Any:
        if asked.method == "PATCH" and asked.plural == "jobsets" and "dryRun" not in asked.query:
            return failure(403, "jobsets is forbidden: no", "Forbidden")
        return None

    with Cluster(spoil=spoil) as server:
        assert on_api(server, LINE).code == 1
        [kept] = (tmp_path / "cache" / "resize").iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        server.spoil = None
        assert on_api(server, LINE).code == 0
        assert list((tmp_path / "cache" / "resize").iterdir()) == []
