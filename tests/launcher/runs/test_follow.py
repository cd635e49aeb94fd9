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
        ("logs run --host 1-2-3", "--host: must be HOST or SLICE-HOST such as 0 or 1-3, got '1-2-3'"),
        ("delete", "Missing argument 'NAME'."),
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


def test_the_status_of_a_failed_run():
    run = {
        "name": "run",
        "phase": "Failed",
        "slice": "v5e-256",
        "slices": 8,
        "hosts": 512,
        "arch": "resnet50",
        "pods": {"Failed": 1},
        "restarts": {"total": 3, "counted": 1, "max": 10},
        "created": "2026-01-01T00:00:00Z",
        "run_dir": "gs://b-1/run",
        "why": ["jobset failed"],
        "failed": {
            "pod": "p",
            "exit_code": None,
            "meaning": "Evicted",
            "message": "The node was low on memory.",
        },
        "last_failure": None,
        "progress": {"step": 7, "steps": 9, "loss": "nan"},
        "evaluation": {"step": 5, "accuracy": 0.5},
        "startup_seconds": {"created": 1.0, "first_step": 2.5, "total": 3.5},
    }
    lines = page(run)
    assert lines[:4] == [
        "run",
        "  phase         Failed",
        "  slice         8 x v5e-256, 512 hosts, resnet50",
        "  pods          1 Failed",
    ]
    assert lines[7:] == [
        "  why           jobset failed",
        "  failed first  p: Evicted",
        "                  The node was low on memory.",
        "  step          7 of 9, loss nan",
        "  accuracy      50.00% at step 5",
        "  start-up      created 1 s, first step 2.5 s, total 3.5 s",
    ]
