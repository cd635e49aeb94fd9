"""The verbs that follow a run: a wrong request is an error before any request to a cluster."""

import datetime

import pytest

from launcher.cli import main, table
from launcher.cli.verbs.logs import parse_host
from launcher.cli.verbs.status import page
from launcher.runs.logs import Line


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "status ../jobs/x",
            "name: must be at most 63 lower-case letters, digits and '-', starting with a letter, "
            "got '../jobs/x'",
        ),
        ("wait run --timeout soon", "timeout: must be a duration such as 90s, 10m, 2h or 7d, got 'soon'"),
        (
            "list --namespace A/B",
            "namespace: must be at most 63 lower-case letters, digits and '-', got 'A/B'",
        ),
        ("logs run --host 1-2-3", "host: must be HOST or SLICE-HOST such as 0 or 1-3, got '1-2-3'"),
        ("delete", "name: must be given"),
        ("suspend --yes", "name: must be given"),
        ("status", "name: must be given"),
        ("logs run --tail -4", "tail: must be a whole number of at least 0, got '-4'"),
        ("list b", "arguments: must be flags only for resnet-launch list, got 'b' too"),
        (
            "delete a b --yes c",
            "yes: must be the last flag, or the name of one of these runs, got 'c'",
        ),
    ],
)
def test_wrong_arguments(capsys, line, error):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", f"error: {error}")


def test_no_cluster(capsys):
    assert main(["status", "run"]) == 1
    assert capsys.readouterr().err.startswith("error: no cluster is configured: ")


@pytest.mark.parametrize(("text", "position"), [(None, None), ("3", (0, 3)), ("1-63", (1, 63))])
def test_hosts(text, position):
    assert parse_host(text) == position


def test_the_prefix_of_a_line_is_its_pod_and_restart():
    assert str(Line(0, 1, 0, "event name=start")) == "slice-0-1 | event name=start"
    assert str(Line(3, 63, 2, "")) == "slice-3-63.r2 | "


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d"), (-5, "0s")]
)
def test_durations(seconds, shown):
    assert table.seconds(seconds) == shown


def test_ages():
    now = datetime.datetime(2026, 1, 1, 3, tzinfo=datetime.UTC)
    assert table.age("2026-01-01T00:00:00Z", now) == "3h"


def run(**more):
    return {
        "name": "run",
        "phase": "Failed",
        "slice": "v5e-256",
        "slices": 8,
        "hosts": 512,
        "arch": "resnet50",
        "command": [],
        "pods": {"Failed": 1},
        "restarts": {"total": 3, "counted": 0, "max": 10},
        "created": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T02:00:00Z",
        "seconds": 7200.0,
        "run_dir": "gs://b-1/run",
        "submitted_by": "jane@example.com",
        "why": ["a Job of it failed"],
        "failed": None,
        "last_failure": None,
        "last_preemption": None,
        "rejected": {"hosts": [], "restarts": 0},
        "progress": {"step": 7, "steps": 9, "loss": "nan", "eta_seconds": 0},
        "evaluation": {"step": 5, "accuracy": 0.5},
        "best": {"step": 4, "accuracy": 0.625},
        "suspended": {},
        "startup_seconds": {"created": 1.0, "first_step": 2.5, "total": 3.5},
        **more,
    }


def test_the_status_of_a_failed_run():
    failed = {
        "pod": "p",
        "node": "n",
        "container": "trainer",
        "exit_code": None,
        "meaning": "evicted by its node, which lacked a resource",
        "message": "The node was low on memory.",
    }
    assert page(run(failed=failed)) == [
        "run",
        "  phase         Failed",
        "  slice         8 x v5e-256, 512 hosts, resnet50",
        "  pods          1 Failed",
        "  restarts      3 (0 of 10 used)",
        "  finished      2026-01-01T02:00:00Z, 2h after its submission",
        "  run dir       gs://b-1/run",
        "  submitted by  jane@example.com",
        "  why           a Job of it failed",
        "  failed first  p on node n: evicted by its node, which lacked a resource",
        "                  The node was low on memory.",
        "  step          7 of 9, loss nan",
        "  accuracy      50.00% at step 5",
        "  best accuracy 62.50% at step 4",
        "  start-up      created 1 s, first step 2.5 s, total 3.5 s",
    ]


def test_a_run_that_is_over_has_no_time_left_and_no_age():
    text = "\n".join(page(run(phase="Completed")))
    assert "time left" not in text
    assert "age" not in text


def test_a_preemption_that_saved_its_state_is_no_failure():
    moved = {"at": "", "message": "p had saved its state"}
    lines = page(run(phase="Running", finished="", why=[], last_preemption=moved))
    assert "  preempted     p had saved its state" in lines
    assert not any("fail" in line for line in lines)
