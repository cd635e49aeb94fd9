"""`check` of a program of the user's own: the cluster, the image and the bucket, and what it cannot know."""

import json

import pytest

from launcher.cli import main

PROGRAM = ["--slice", "cpu-2x1", "--command", "python train.py", "--name", "mine"]


@pytest.fixture(autouse=True)
def no_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)


def test_it_checks_the_rest_and_says_what_it_does_not(capsys):
    assert main(["check", *PROGRAM, "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["unchecked"] == ["memory", "speed"]
    assert [finding["about"] for finding in document["cluster"]] == ["image"]
    assert "not checked: memory and speed are known for this project's trainer only" in printed.err


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        (["--batch", "auto"], "batch"),
        (["--estimate"], "estimate"),
        (["--generate-code"], "generate-code"),
        (["--price", "1"], "price"),
        (["--no-cluster"], "no-cluster"),
        (["--compare", "cpu-4x1"], "compare"),
    ],
)
def test_flags_about_a_compilation_are_refused(flags, field, capsys):
    assert main(["check", *PROGRAM, *flags]) == 2
    assert f"error: {field}: must be left out with command" in capsys.readouterr().err
