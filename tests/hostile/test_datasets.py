"""Whoever wrote a dataset decides neither where we write nor what a terminal obeys."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer import cli
from trainer.data.__main__ import main
from trainer.data.storage import Place
from trainer.errors import printable, printable_json

OBEYED = ["\x1b[2J", "\x9b31m", "\u202etxt.exe", "\u2066x", "a\rprogress step=9", "\x7f"]
LINKS = (".lock", ".pack.json.new", ".manifest.json.new", ".train.index.npy.new", ".test.names.txt.new")


def pictures(folder: Path, names: list[str]) -> Path:
    for split in ("train", "val"):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            cv2.imwrite(str(folder / split / name / "one.png"), np.full((8, 8, 3), 9, np.uint8))
    return folder


@pytest.mark.parametrize("disk", ["same", "other"])
def test_a_pack_writes_through_no_link(disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if disk == "other":
        if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs /dev/shm as a second disk")
        monkeypatch.setattr("tempfile.tempdir", "/dev/shm")
    source, target, victim = pictures(tmp_path / "photos", ["a", "b"]), tmp_path / "out", tmp_path / "victim"
    target.mkdir()
    victim.write_text("precious")
    for name in LINKS[1:]:
        (target / name).symlink_to(victim)
    assert main(["pack", str(source), str(target)]) == 0
    assert victim.read_text() == "precious"
    assert main(["verify", str(target)]) == 0


@pytest.mark.parametrize("existing", [True, False])
def test_a_lock_that_is_a_link_is_refused(
    existing: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, victim = pictures(tmp_path / "photos", ["a"]), tmp_path / "out", tmp_path / "victim"
    target.mkdir()
    if existing:
        victim.write_text("precious")
    (target / ".lock").symlink_to(victim)
    assert main(["pack", str(source), str(target)]) == 1
    assert "symbolic links" in capsys.readouterr().err
    assert (victim.read_text() if existing else victim.exists()) == ("precious" if existing else False)


def test_a_move_to_another_disk_replaces_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, file = tmp_path / "victim", tmp_path / "file"
    file.write_text("new")
    (tmp_path / ".x.new").symlink_to(victim)
    rename = os.replace

    def other_disk(source: str, target: str) -> None:
        if Path(source) == file:
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr("os.replace", other_disk)
    Place(str(tmp_path)).put("x", file)
    assert (tmp_path / "x").read_text() == "new"
    assert not victim.exists()
    assert not file.exists()


@pytest.mark.parametrize("label", ["9" * 5000, "0" * 4301 + "1", "9" * 19])
def test_a_label_of_many_digits_is_a_name(label: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_text(f"file,label\na.png,{label}\nb.png,1\n")
    assert main(["stats", str(tmp_path)]) == 0


@pytest.mark.parametrize("classes", [{"a": 1}, ["\x9b2J", "b"], ["a\nb", "c"], "ab", [1, 2]], ids=ascii)
def test_classes_of_a_manifest_are_plain_names(
    classes: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", str(pictures(tmp_path / "photos", ["a", "b"])), str(tmp_path / "out")]) == 0
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"classes": classes}))
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "manifest.json is damaged" in error
    assert all(line.isprintable() for line in error.splitlines())


@pytest.mark.parametrize("text", OBEYED, ids=ascii)
def test_no_name_of_a_file_reaches_the_terminal(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "photos", ["a"])
    (source / "train" / "a" / f"{text}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for arguments in (["verify"], ["stats"], ["pack", "--max-bad", "9"]):
        verb, *flags = arguments
        main([verb, str(source), *([str(tmp_path / "out")] if verb == "pack" else []), *flags])
        captured = capsys.readouterr()
        shown = captured.out + captured.err
        assert printable(text) in shown
        assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("text", OBEYED, ids=ascii)
def test_json_for_a_terminal_stays_json(text: str) -> None:
    shown = printable_json(json.dumps({"image": text, "top": ["ä"]}, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == {"image": text, "top": ["ä"]}


@pytest.mark.parametrize("text", OBEYED, ids=ascii)
def test_predict_names_pictures_and_classes_without_obeying_them(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"image": text, "top": [{"class": text, "probability": 1.0}]}
    monkeypatch.setattr("trainer.weights.inference.load_weights", lambda path: None)
    monkeypatch.setattr("trainer.weights.inference.predict", lambda *_: iter([result]))
    assert cli.main(["predict", str(tmp_path), "x.png"]) == 0
    out = capsys.readouterr().out
    assert out.rstrip("\n").isprintable()
    assert json.loads(out) == result
