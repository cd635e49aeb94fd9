"""manifests/ holds what `resnet-launch render` prints today; `make generate` rewrites it."""

import shlex
from pathlib import Path

import pytest

from launcher.cli import main

FILES = sorted((Path(__file__).parents[3] / "manifests").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden(file, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command, _, expected = file.read_text().partition("\n")
    assert main(shlex.split(command.removeprefix("# resnet-launch "))) == 0
    assert capsys.readouterr().out == expected


def test_there_are_enough_of_them():
    assert len(FILES) >= 11
