"""Layers that were made before: whole or not there, made once by builds at the same time, and checked."""

import errno
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

import disks
import pytest

from launcher.errors import ActionError
from launcher.image import cache
from launcher.image.cache import Damaged, open_cache
from launcher.image.layer import Layer, Member, write

CONTENT = b"content" * 1000


def make(folder: Path, file: BinaryIO) -> Layer:
    assert [*folder.iterdir()] == []
    return write([Member(path="a", content=CONTENT)], file)


def never(folder: Path, file: BinaryIO) -> Layer:
    raise AssertionError("it is in the cache")


def nothing() -> None:
    pass


def test_a_layer_is_made_once(tmp_path: Path) -> None:
    first = open_cache(tmp_path / "c").layer("key", make, nothing)
    assert open_cache(tmp_path / "c").layer("key", never, nothing) == first
    with pytest.raises(AssertionError):
        open_cache(tmp_path / "c").layer("other", never, nothing)
    assert open_cache(tmp_path / "c").verified(first.digest).stat().st_size == first.size


def _slowly(root: str, results: Any) -> None:
    waited = []

    def slow(folder: Path, file: BinaryIO) -> Layer:
        time.sleep(0.5)
        results.put("made")
        return make(folder, file)

    layer = open_cache(Path(root)).layer("key", slow, lambda: waited.append(1))
    results.put((layer.digest, len(waited)))


def test_of_builds_at_the_same_time_one_makes_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    builds = [context.Process(target=_slowly, args=(str(tmp_path / "c"), results)) for _ in range(3)]
    for build in builds:
        build.start()
    got = [results.get(timeout=60) for _ in range(4)]
    for build in builds:
        build.join()
    assert got.count("made") == 1
    digests = [entry for entry in got if entry != "made"]
    assert len({digest for digest, _ in digests}) == 1
    assert [*(tmp_path / "c/scratch").iterdir()] == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path, file: BinaryIO) -> Layer:
        file.write(b"half")
        (folder / "site").mkdir()
        raise error

    opened = open_cache(tmp_path / "c")
    with pytest.raises((ActionError, KeyboardInterrupt)):
        opened.layer("key", fail, nothing)
    left = [path for path in (tmp_path / "c").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []
    assert opened.layer("key", make, nothing).size > 0


@pytest.mark.parametrize("damage", ["flip", "shorten", "remove", "record", "no record"])
def test_a_damaged_layer_is_not_used(tmp_path: Path, damage: str) -> None:
    opened = open_cache(tmp_path / "c")
    layer = opened.layer("key", make, nothing)
    blob, record = opened.blob(layer.digest), tmp_path / "c/layers/key.json"
    if damage == "flip":
        data = bytearray(blob.read_bytes())
        data[20] ^= 1
        blob.write_bytes(data)
        with pytest.raises(Damaged):
            opened.verified(layer.digest)
        assert not blob.exists()
    elif damage == "shorten":
        blob.write_bytes(blob.read_bytes()[:-1])
    elif damage == "remove":
        blob.unlink()
    else:
        record.write_text('{"digest": 5}' if damage == "record" else "")
    assert opened.layer("key", make, nothing) == layer
    assert opened.verified(layer.digest) == blob


def test_a_blob_is_kept_only_with_the_bytes_of_its_digest(tmp_path: Path) -> None:
    opened = open_cache(tmp_path / "c")
    digest = "sha256:" + "0" * 64
    with pytest.raises(Damaged):
        opened.keep(digest, iter([b"other"]))
    assert not opened.blob(digest).exists()


@pytest.mark.parametrize(("mode", "reason"), [(0o777, "its mode is 777"), (0o770, "its mode is 770")])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int, reason: str) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ActionError, match=f"must be a folder that only you can change: {reason}") as caught:
        open_cache(folder)
    assert caught.value.hint == "RESNET_CACHE names another folder"


def test_a_folder_that_others_can_rename_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ActionError, match=r"everyone can rename it in .*open, with mode 777"):
        open_cache(tmp_path / "open/c")


def test_a_new_folder_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "r"))
    root = open_cache().root
    assert root == tmp_path / "r/image"
    assert oct(root.stat().st_mode & 0o777) == "0o700"


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def large(folder: Path, file: BinaryIO) -> Layer:
        return write([Member(path="a", content=os.urandom(1 << 20))], file)

    with disks.small_disk(tmp_path / "small", 256) as small:
        opened = open_cache(small / "c")
        with pytest.raises(ActionError, match=r"^cannot write .*: No space left on device$"):
            opened.layer("key", large, nothing)
        assert [path for path in small.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_text_is_made_once_and_anew_where_it_is_damaged(tmp_path: Path) -> None:
    opened, made = open_cache(tmp_path / "c"), []

    def make_text() -> str:
        made.append(1)
        return "a==1\n"

    assert [opened.text("key", make_text) for _ in range(3)] == ["a==1\n"] * 3
    (tmp_path / "c/layers/key.txt").write_text("0\na==2\n")
    assert opened.text("key", make_text) == "a==1\n"
    assert len(made) == 2


def test_what_no_build_uses_is_forgotten(tmp_path: Path) -> None:
    opened = open_cache(tmp_path / "c")
    old, new = opened.layer("old", make, nothing), opened.layer("new", make_other, nothing)
    past = time.time() - (cache.UNUSED_DAYS + 1) * 86400
    for path in (opened.blob(old.digest), tmp_path / "c/layers/old.json"):
        os.utime(path, (past, past))
    opened.forget_unused()
    assert not opened.blob(old.digest).exists()
    assert opened.layer("new", never, nothing) == new


def make_other(folder: Path, file: BinaryIO) -> Layer:
    return write([Member(path="b", content=CONTENT)], file)
