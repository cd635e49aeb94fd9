"""Packing: the same bytes every time, resumed after a kill, never half a dataset; verify, stats and bench."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from layouts import CLASSES, folder

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing
from trainer.errors import DataError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def damaged(tmp_path):
    """A folder whose training images 3 and 50 are truncated."""
    root = folder(tmp_path / "damaged")
    names = sorted((root / "train").glob("*/*.png"))
    for number in (3, 50):
        names[number].write_bytes(names[number].read_bytes()[:50])
    return root, names


def packed(origin, target, advance=lambda images: None, **changes):
    return pack(str(origin), str(target), Packing(shard_images=20, **changes), DataConfig(), advance)


def contents(root):
    return {path.name: path.read_bytes() for path in root.iterdir() if path.name != ".lock"}


def test_the_same_bytes_by_any_number_of_threads(photos, tmp_path):
    packed(photos, tmp_path / "one")
    pack(
        str(photos),
        str(tmp_path / "two"),
        Packing(shard_images=20),
        DataConfig(threads=7),
        lambda images: None,
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(contents(tmp_path / "one")) == sorted(
        ["manifest.json", "train.index.npy", "train.names.txt", "test.index.npy", "test.names.txt"]
        + [f"train-{number:05d}-of-00005.array_record" for number in range(5)]
        + [f"test-{number:05d}-of-00002.array_record" for number in range(2)]
    )


def test_the_manifest_lists_the_contents(photos, tmp_path):
    manifest = packed(photos, tmp_path / "p", encoding="raw", short_side=16)
    assert manifest["classes"] == CLASSES
    assert {split: part["images"] for split, part in manifest["splits"].items()} == {"train": 96, "test": 32}
    assert [shard["images"] for shard in manifest["splits"]["train"]["shards"]] == [20, 20, 20, 20, 16]
    assert (manifest["encoding"], manifest["left_out"]) == ("raw", [])
    assert manifest["request"]["source"] == str(photos)
    assert manifest["request"]["tool"] == "resnet-launch 0.1.0"
    assert (tmp_path / "p" / "train.names.txt").read_text().splitlines()[0] == "train/digit 0/0000.png"
    index = np.load(tmp_path / "p" / "train.index.npy")
    assert set(index["bytes"].tolist()) == {16 * 16 * 3}  # shrunk from 32 pixels to 16


@pytest.mark.skipif(sys.platform != "linux", reason="kills by process id")
def test_a_killed_pack_resumes_and_ends_with_the_same_bytes(photos, tmp_path):
    target = tmp_path / "p"
    command = [sys.executable, "-m", "trainer.data", "pack", str(photos), str(target)]
    command += ["--shard-images", "4", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(target.glob("*.part.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = {path.name for path in target.glob("*.part.json")}
    assert 4 <= len(finished) < 32
    with pytest.raises(DataError, match="is not finished\nhint: run the same `data pack` command again"):
        datasets.load(DataConfig(name=str(target)), "train")
    written = {path: path.stat().st_mtime_ns for path in target.glob("*.array_record")}
    assert main(command[3:]) == 0
    for name in finished:  # finished shards are not written again
        shard = target / name.replace(".part.json", ".array_record")
        assert shard.stat().st_mtime_ns == written[shard]
    whole = tmp_path / "whole"
    pack(str(photos), str(whole), Packing(shard_images=4), DataConfig(), lambda images: None)
    assert contents(target) == contents(whole)


def test_a_finished_pack_is_left_alone(photos, tmp_path):
    packed(photos, tmp_path / "p")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").iterdir() if path.name != ".lock"}
    packed(photos, tmp_path / "p")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda d: (d / "holiday.txt").write_text(""), "must be empty, got holiday.txt"),
        (
            lambda d: packed(d.parent / "photos", d, quality=80),
            "holds another pack: quality is 80 there, got 90",
        ),
    ],
    ids=["other files", "another pack"],
)
def test_a_target_with_other_files_or_another_pack_is_refused(photos, tmp_path, prepare, message):
    (tmp_path / "photos").symlink_to(photos)
    target = tmp_path / "target"
    target.mkdir()
    prepare(target)
    before = contents(target)
    with pytest.raises(DataError, match=message):
        packed(tmp_path / "photos", target)
    assert contents(target) == before


def test_a_damaged_image_fails_the_pack_or_is_left_out(damaged, tmp_path):
    root, _ = damaged
    with pytest.raises(
        DataError, match=r"\.png: it is damaged: the file ends early \(damaged: [12], --max-bad"
    ):
        packed(root, tmp_path / "p")
    assert not (tmp_path / "p" / "manifest.json").exists()
    assert packed(root, tmp_path / "p", max_bad=2)["left_out"]  # as the hint says, in the same folder
    with pytest.raises(DataError, match="leaves out 2 damaged images, --max-bad 1"):
        packed(root, tmp_path / "p", max_bad=1)
    manifest = packed(root, tmp_path / "q", max_bad=2)
    assert manifest["left_out"] == [
        "train/digit 0/0003.png: it is damaged: the file ends early",
        "train/digit 5/0050.png: it is damaged: the file ends early",
    ]
    assert manifest["splits"]["train"]["images"] == 94
    images, _ = datasets.load(DataConfig(name=str(tmp_path / "q")), "train").gather(np.arange(94))
    assert (images.max(axis=(1, 2, 3)) > 0).all()


def test_verify_names_each_bad_and_each_duplicate_image(damaged, tmp_path, capsys):
    root, names = damaged
    twin = names[60].parent / "zz.png"
    twin.write_bytes(names[60].read_bytes())
    (root / "val" / "digit 9" / "wrong.png").write_bytes(names[0].read_bytes())
    assert main(["verify", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"bad: {names[3]}: it is damaged: the file ends early" in lines
    assert f"bad: {names[50]}: it is damaged: the file ends early" in lines
    assert f"duplicate: {twin} (label 6) equals {names[60]} (label 6)" in lines
    assert f"conflict: {root}/val/digit 9/wrong.png (label 9) equals {names[0]} (label 0)" in lines
    assert lines[-1].startswith("bad: 2, suspect: 0, duplicates: ")


def test_verify_names_the_records_that_differ_from_their_checksum(photos, tmp_path, capsys):
    target = tmp_path / "p"
    packed(photos, target, encoding="raw")
    assert main(["verify", str(target)]) == 0
    shard = target / "train-00001-of-00005.array_record"
    data = bytearray(shard.read_bytes())
    data[30_000] ^= 1
    shard.write_bytes(data)
    (target / "test-00001-of-00002.array_record").unlink()
    capsys.readouterr()
    assert main(["verify", str(target)]) == 1
    bad = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("bad: data") or "record" in line
    ]
    assert len(bad) == 2
    assert bad[0].startswith(f"bad: {shard} record 9 (train/digit")
    assert "/0029.png): the record cannot be read: Corrupted" in bad[0]  # 20 in the shard before, and 9
    assert bad[1] == f"bad: data: shard {target}/test-00001-of-00002.array_record does not exist"


def test_stats_count_and_show(photos, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["stats", str(photos), "--json", "--sheet", str(sheet)]) == 0
    summary = json.loads(capsys.readouterr().out)
    train = summary["splits"]["train"]
    assert (summary["kind"], summary["classes"], train["images"], train["damaged"]) == ("folder", 10, 96, 0)
    assert (train["median_pixels"], train["empty_classes"]) == ([32, 32], [])
    assert summary["splits"]["test"]["called"] == "val"
    picture = cv2.imread(str(sheet))
    assert picture.shape == (
        6 * 146,
        1280,
        3,
    )  # 60 examples, 10 per row, each 128 pixels high plus a line of text
    assert main(["stats", str(photos), "--sheet", str(tmp_path / "no" / "sheet.png")]) == 1
    assert "error: --sheet: must be a .png or .jpg file" in capsys.readouterr().err


def test_stats_count_labels_without_a_class_as_damaged(photos, tmp_path, capsys):
    packed(photos, tmp_path / "p")
    described = json.loads((tmp_path / "p" / "manifest.json").read_text())
    described["classes"] = ["digit 0", "digit 1"]
    (tmp_path / "p" / "manifest.json").write_text(json.dumps(described))
    assert main(["stats", str(tmp_path / "p"), "--json"]) == 0
    train = json.loads(capsys.readouterr().out)["splits"]["train"]
    labels = np.load(tmp_path / "p" / "train.index.npy")["label"]
    assert (train["images"], train["unlabelled"]) == (96, int((labels > 1).sum())) != (96, 0)
    assert (train["checked"], train["damaged"]) == (96, train["unlabelled"])


def test_bench_says_whether_a_host_would_starve(photos, capsys):
    arguments = ["bench", str(photos), "--seconds", "0.2", "--image-size", "32"]
    assert main([*arguments, "--need", "1", "--for", "a slice"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "its chips would not starve"
    assert lines[-2].startswith("a slice needs 1 images/s per host; this host prepares ")
    assert main([*arguments, "--need", "1e9", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [rate["way"].split()[0] for rate in document["rates"]] == ["as", "data", "data"]
    assert "its chips would starve: with the data as they are, a host needs" in document["verdict"][1]
    assert document["verdict"][3].startswith("data pack SRC DST --raw 256: 0% of the need; a host needs")


@pytest.mark.parametrize("name", ["manifest.json", "pack.json", "train-00000-of-00005.part.json"])
@pytest.mark.parametrize("content", ["", "[", "[" * 100_000, "[]", "7", '{"request": 7}', '{"bytes": "x"}'])
def test_a_target_that_others_wrote_is_refused(photos, tmp_path, name, content):
    target = tmp_path / "p"
    with pytest.raises(KeyboardInterrupt):
        packed(photos, target, stop_at_once)
    (target / name).write_text(content)
    with pytest.raises(DataError, match=r"data pack: \S+ (is damaged|holds another pack)"):
        packed(photos, target)
    assert name == "manifest.json" or not (target / "manifest.json").exists()


def stop_at_once(images):
    raise KeyboardInterrupt
