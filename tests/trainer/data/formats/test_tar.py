"""Tar shards: labels of every form, members of every kind, and archives that are not whole."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import jpeg, picture

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.errors import DataError

PHOTO = jpeg(picture())
SMALL: dict[str, Any] = {"image_size": 8, "bad_images": 100}
Content = bytes | tarfile.TarInfo


def shard(path: Path, members: dict[str, Content]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                file.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def labelled(*labels: bytes | dict[str, bytes]) -> dict[str, Content]:
    """A photo for each label: the content of its .cls, or suffix -> content of each file beside it."""
    members: dict[str, Content] = {}
    for number, label in enumerate(labels):
        members[f"{number}.jpg"] = PHOTO
        beside = {"cls": label} if isinstance(label, bytes) else label
        members |= {f"{number}.{suffix}": content for suffix, content in beside.items()}
    return members


def labels_of(root: Path, split: str = "train") -> tuple[list[str], list[int]]:
    source = datasets.load(DataConfig(name=str(root), **SMALL), split)
    return list(source.class_names), source.gather(np.arange(source.size))[1].tolist()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (b"2", 2),
        (b" 2\n", 2),
        ({"json": as_json({"label": 2})}, 2),
        ({"json": as_json({"cls": 2.0})}, 2),
        ({"json": as_json({"label": "2"})}, 2),
        ({"json": as_json(2)}, 2),
        ({"cls": b"2", "json": as_json({"caption": "a dog"})}, 2),
        ({"cls": b"2", "json": as_json({"label": 0})}, 2),
        ({"json": as_json({"label": None, "cls": 2})}, 2),
        ({"json": as_json({"label": 0}), "cls": b"2"}, 2),
    ],
)
def test_a_label_is_read_from_any_of_its_files(tmp_path: Path, label: Any, expected: int) -> None:
    shard(tmp_path / "train-0.tar", labelled(b"0", label))
    assert labels_of(tmp_path) == (["0", "1", "2"], [0, expected])


def test_class_names_as_labels_are_numbered_as_in_training(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", labelled(b"cat", b"dog", {"json": as_json({"label": "ape"})}))
    shard(tmp_path / "val-0.tar", labelled(b"dog", b"cat"))
    assert labels_of(tmp_path) == (["ape", "cat", "dog"], [1, 2, 0])
    assert labels_of(tmp_path, "test") == (["ape", "cat", "dog"], [2, 1])
    (tmp_path / "classes.txt").write_text("dog\ncat\nape\n")
    assert labels_of(tmp_path) == (["dog", "cat", "ape"], [1, 0, 2])


def test_both_spellings_of_an_accent_are_one_label(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", labelled("café".encode(), "cafe\u0301".encode()))
    assert labels_of(tmp_path) == (["café"], [0, 0])


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"", r"member 1.cls must hold a label, got b''"),
        (b"\xff\xfe", r"member 1.cls must hold a label, got b'\\xff\\xfe'"),
        (b"99999999999", r"member 1.cls must hold a label, got b'99999999999'"),
        (b"1000000000", r"must have labels of at most 999,999, got 1,000,000,000"),
        (b"a\nb", r"the label in shard \S+ member 1.cls must be a class name"),
        (b"x" * 2**21, r"member 1.cls must be a file of at most 1 MiB, got 2,097,152 bytes"),
        ({"json": as_json({"caption": "x"})}, r"train-0.tar: 1.jpg has no label\nhint: write the label"),
        ({"json": as_json({"label": 1.5})}, r"member 1.json must hold a label, got b'{\"label\": 1.5}'"),
        ({"json": as_json({"label": [1]})}, r"member 1.json must hold a label, got b'{\"label\": \[1\]}'"),
        ({"json": as_json({"label": True})}, r"member 1.json must hold a label, got"),
        ({"json": b"{"}, r"member 1.json must hold a label, got b'{' \(Expecting property name"),
        ({"json": b"[" * 200_000}, r"member 1.json must hold a label, got b'\[\["),
        ({"json": b"1" * 10_000}, r"member 1.json must hold a label, got b'111"),
        ({}, r"train-0.tar: 1.jpg has no label"),
    ],
)
def test_a_label_that_cannot_be_read_is_named_with_its_content(
    tmp_path: Path, label: Any, message: str
) -> None:
    shard(tmp_path / "train-0.tar", labelled(b"0", label))
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path)


def test_a_class_name_that_is_not_listed_is_named(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", labelled(b"cat", b"dgo"))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    message = r"train-0.tar member 1.jpg must be one of the 2 classes, got 'dgo'"
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path)


def test_what_is_beside_the_images_is_counted(tmp_path: Path, capsys) -> None:
    others = ("._0.jpg", "__MACOSX/._0.jpg", "a/.DS_Store", "1.txt", "2.heic", "0.seg.png")
    shard(tmp_path / "train-0.tar", labelled(b"0") | dict.fromkeys(others, b"x"))
    assert main(["stats", str(tmp_path), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert row["images"] == 1
    assert row["passed_over"] == {"system": 3, "unread": {".heic": 1}, "other": {".txt": 1}, "unlisted": 0}


@pytest.mark.parametrize("name", ["./0", "/0", "/data/0", "./a/0", "a..b"])
def test_names_as_tar_writes_them_are_read(tmp_path: Path, name: str) -> None:
    shard(tmp_path / "train-0.tar", {f"{name}.jpg": PHOTO, f"{name}.cls": b"0"})
    assert labels_of(tmp_path) == (["0"], [0])


@pytest.mark.parametrize("name", ["../0", "a/../../0", "/../0"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    shard(tmp_path / "train-0.tar", {f"{name}.jpg": PHOTO, f"{name}.cls": b"0"})
    with pytest.raises(DataError, match=r"shard \S+train-0.tar must hold plain relative names"):
        labels_of(tmp_path)


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "0.jpg"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_damaged_images(tmp_path: Path, kind: bytes, capsys) -> None:
    odd: dict[str, Content] = {"1.jpg": special("1.jpg", kind), "1.cls": b"0"}
    shard(tmp_path / "train-0.tar", labelled(b"0") | odd)
    assert labels_of(tmp_path) == (["0"], [0, -1])
    assert main(["verify", str(tmp_path)]) == 1
    text = f"bad: {tmp_path}/train-0.tar member 1.jpg: it must be a file, got a link or a device"
    assert text in capsys.readouterr().out


def test_two_images_of_one_key_are_refused(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", labelled(b"0") | {"0.png": PHOTO})
    with pytest.raises(DataError, match=r"must hold one image per key, got 0.jpg and 0.png"):
        labels_of(tmp_path)


def damage_header(data: bytes) -> bytes:
    """The header of the third member without its checksum; tarfile takes that for the end."""
    at = data.index(b"1.jpg")
    return data[:at] + b"?" + data[at + 1 :]


def claim(size: int) -> bytes:
    """A header with a size of up to 2^88, as GNU tar writes sizes above 8 GiB."""
    info = tarfile.TarInfo("1.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + size.to_bytes(11, "big") if size >= 0 else b"\xff" * 11 + bytes((256 + size,))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def extended(kind: bytes, size: int) -> bytes:
    header = bytearray(claim(size))
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


END = b"\0" * 1024


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage_header, r"is damaged: byte \d+ is neither a member nor its end"),
        (lambda data: data + data, r"is damaged: byte \d+ is neither a member nor its end"),
        (lambda data: data.rstrip(b"\0"), "train-0.tar (ends early|is damaged)"),
        (lambda data: data[: len(data) // 2], "train-0.tar (ends early|is damaged)"),
        (lambda data: claim(2**40) + data, "train-0.tar (ends early, within 1.jpg|is damaged)"),
        (lambda data: claim(-100) + data, "train-0.tar (ends early|is damaged)"),
        (lambda data: extended(b"x", 2**40) + data, "is damaged: a header of 1,099,511,627,776 bytes"),
        (lambda data: extended(b"L", 2**40) + data, "is damaged: a header of 1,099,511,627,776 bytes"),
        (lambda data: extended(b"S", 2**40) + data, "is damaged"),
        (lambda data: extended(b"x", 0) * 3000 + END, "is damaged"),
    ],
)
def test_an_archive_that_is_not_whole_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "train-0.tar"
    shard(path, labelled(b"0", b"1", b"2"))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path)


def test_shards_beside_files_of_a_system_are_read(tmp_path: Path) -> None:
    shard(tmp_path / "x-train-0.tar", labelled(b"0"))
    (tmp_path / "._x-train-0.tar").write_bytes(b"\0\5\x16\7")
    assert labels_of(tmp_path) == (["0"], [0])


@pytest.mark.parametrize("split", ["VAL", "valid", "Validation", "test"])
def test_splits_of_shards_have_any_of_their_names(tmp_path: Path, split: str) -> None:
    shard(tmp_path / "Train-0.tar", labelled(b"0"))
    shard(tmp_path / f"{split}-0.tar", labelled(b"0", b"0"))
    assert labels_of(tmp_path, "test") == (["0"], [0, 0])
