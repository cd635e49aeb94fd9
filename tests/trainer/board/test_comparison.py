"""`resnet-train compare`: the settings that differ, and the results, side by side."""

import json

import board_runs
import pytest

from trainer.cli import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board_runs.make(tmp_path / "a", "first", 0.5)
    board_runs.make(tmp_path / "b", "second", 0.75, optim__lr=0.3, model__arch="resnet18", log__predicted=9.0)
    return tmp_path


def test_what_differs_stands_side_by_side(runs, capsys):
    assert main(["compare", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    blank = lines.index("")
    assert [line.split() for line in lines[:blank]] == [
        ["first", "second"],
        ["model.arch", "resnet50", "resnet18"],
        ["optim.lr", "0.2", "0.3"],
    ]
    assert ["best", "test", "accuracy", "50.00", "%", "75.00", "%"] in [
        line.split() for line in lines[blank:]
    ]
    assert ["goodput", "61.1", "%", "61.1", "%"] in [line.split() for line in lines[blank:]]


def test_the_same_for_a_program(runs, capsys):
    assert main(["compare", "a", "b", "a", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"] == {
        "model.arch": ["resnet50", "resnet18", "resnet50"],
        "optim.lr": ["0.2", "0.3", "0.2"],
    }
    assert [run["best_accuracy"] for run in document["runs"]] == [0.5, 0.75, 0.5]


def test_runs_with_the_same_settings(runs, capsys):
    board_runs.make(runs / "c", "first")
    assert main(["compare", "a", "c"]) == 0
    assert ["settings", "the", "same", "the", "same"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a"], "RUN: must be two runs or more, got 1"),
        (["a", "none"], "RUN: must be the directory of a run, got '{folder}/none' without a config.json"),
        (["a", "."], "RUN: must be the directory of a run, got '{folder}' without a config.json"),
        ([], "RUN: must be given"),
    ],
)
def test_wrong_requests(runs, capsys, arguments, problem):
    assert main(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {problem.format(folder=runs)}")
