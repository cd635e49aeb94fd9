"""Gzipped tar shards: the same examples as a folder, bounded when they are unpacked, unpacked once."""

import gzip
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import folder, tar
from same_examples import contents, packed

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.data.formats import tar_gzip
from trainer.data.formats.detect import find
from trainer.errors import DataError

SMALL: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0, "bad_images": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data" / "unpacked"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("folder"))


def gzipped(root: Path, suffix: str = ".tar.gz", into: bool = False) -> Path:
    for path in sorted(tar(root).glob("*.tar")):
        split, _, number = path.stem.partition("-")
        target = root / split / f"{number}{suffix}" if into else root / f"{path.stem}{suffix}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return root


@pytest.mark.parametrize(
    ("suffix", "into"), [(".tar.gz", False), (".tgz", False), (".tar.gz", True), (".tgz", True)]
)
def test_a_layout_holds_what_a_folder_of_the_same_images_holds(
    photos, tmp_path, suffix, into, capsys
) -> None:
    root = gzipped(tmp_path / "data", suffix, into)
    assert find(str(root)).kind == "tar"
    small = packed(root, tmp_path / "packed")
    for split in ("train", "test"):
        assert contents(root, split) == contents(small, split) == contents(photos, split)
    assert main(["verify", str(root)]) == 0
    assert main(["stats", str(root)]) == 0
    assert "train: 96 images, 0 damaged" in capsys.readouterr().out.replace(" (named train here)", "")


def test_a_shard_is_unpacked_once_and_again_when_it_has_changed(tmp_path, cache) -> None:
    root = gzipped(tmp_path / "data")
    datasets.load(DataConfig(name=str(root), **SMALL), "train")
    files = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    datasets.load(DataConfig(name=str(root), **SMALL), "train")
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir() if path.suffix != ".lock"} == {
        name: time for name, time in files.items() if not name.endswith(".lock")
    }
    (root / "train-000000.tar.gz").write_bytes((root / "train-000001.tar.gz").read_bytes())
    first, second = np.split(
        datasets.load(DataConfig(name=str(root), **SMALL), "train").gather(np.arange(96))[0], 2
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "train-000000.tar.gz is damaged: Not a gzipped file"),
        (gzip.compress(bytes(10_000))[:-9], "train-000000.tar.gz is damaged: Compressed file ended"),
        (gzip.compress(b"x" * 10_000), "train-000000.tar.gz is damaged: "),
        (b"", "train-000000.tar.gz is damaged: empty file"),
    ],
    ids=["other", "cut", "no tar", "empty"],
)
def test_a_damaged_shard_is_named(tmp_path, cache, content, message) -> None:
    root = gzipped(tmp_path / "data")
    (root / "train-000000.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        datasets.load(DataConfig(name=str(root), **SMALL), "train")
    assert not list(cache.glob("*.part"))


def bomb(path: Path) -> None:
    """A tar file of 512 MiB of zeros in half a MiB."""
    with gzip.open(path, "wb", 9) as file:
        info = tarfile.TarInfo("0.jpg")
        info.size = 2**29
        file.write(info.tobuf())
        for _ in range(512):
            file.write(bytes(2**20))


def test_a_bomb_is_refused_by_its_ratio_or_by_the_limit(tmp_path, cache, monkeypatch) -> None:
    root = gzipped(tmp_path / "data")
    bomb(root / "train-000000.tar.gz")
    start = time.monotonic()
    with pytest.raises(DataError, match=r"train-000000.tar.gz must unpack to at most 0.0625 GiB, got more"):
        datasets.load(DataConfig(name=str(root), **SMALL), "train")
    monkeypatch.setattr(tar_gzip, "MOST_TIMES", 10_000)
    with pytest.raises(
        DataError, match=r"must unpack to at most 0.0312 GiB, got more\nhint: raise data.stage_gib"
    ):
        datasets.load(DataConfig(name=str(root), stage_gib=0.03125, **SMALL), "train")
    assert time.monotonic() - start < 20
    assert not list(cache.glob("*.part"))


def test_the_folder_of_data_stage_holds_what_is_unpacked(tmp_path, cache) -> None:
    root = gzipped(tmp_path / "data")
    datasets.load(DataConfig(name=str(root), stage=str(tmp_path / "disk"), **SMALL), "train")
    assert len([path for path in (tmp_path / "disk" / "unpacked").iterdir() if not path.suffix]) == 2
    assert not cache.exists()
