"""Results that `check` kept: of version 0.1.0 (earlier-0.1.0.json), and damaged ones."""

import json
from pathlib import Path

import pytest

from launcher.check import kept
from launcher.cli import main

EARLIER = (Path(__file__).parent / "earlier-0.1.0.json").read_bytes()
LINE = "check --no-cluster --json --estimate --slice cpu-2x1 --arch resnet-tiny --data digits"
LINE += " --set model.width=8"


@pytest.mark.parametrize("content", [EARLIER, EARLIER[:200], b"", b"[]", b"7", b"\xff"])
def test_no_result_of_this_version(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    assert kept.read(path) is None


@pytest.mark.slow
def test_a_result_of_an_earlier_version_is_made_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    assert main(LINE.split()) == 0
    first = json.loads(capsys.readouterr().out)["compiled"]
    [kept] = (tmp_path / "check").iterdir()
    kept.write_bytes(EARLIER)
    assert main(LINE.split()) == 0
    anew = json.loads(capsys.readouterr().out)["compiled"]
    assert (anew["cached"], anew["model"], anew["parameters"]) == (False, first["model"], first["parameters"])
    assert main(LINE.split()) == 0
    assert json.loads(capsys.readouterr().out)["compiled"] == anew | {"cached": True}


@pytest.mark.slow
def test_a_result_that_cannot_be_kept_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "file"))
    assert main(LINE.split()) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["fits"] is True
    assert "the result is not kept for the next check: " in err
