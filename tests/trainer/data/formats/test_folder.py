"""Image folders as people bring them: files of systems, links, names, splits; nothing goes unsaid."""

import json
import os
import socket
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_bucket import serving
from pictures import jpeg, picture

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.errors import DataError

PHOTO = jpeg(picture())
SMALL: dict[str, Any] = {"image_size": 8, "bad_images": 100}


def write(root: Path, *names: str, content: bytes = PHOTO) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def photos(root: Path, train: str = "train", test: str = "val") -> Path:
    return write(root, f"{train}/a/1.jpg", f"{train}/b/1.jpg", f"{test}/a/2.jpg", f"{test}/b/2.jpg")


def load(root: Path, split: str = "train"):
    return datasets.load(DataConfig(name=str(root), **SMALL), split)


def stats(root: Path, capsys) -> dict:
    assert main(["stats", str(root), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


SYSTEM = [
    *("train/a/._1.jpg", "train/._a/1.jpg", "train/.DS_Store", "train/__MACOSX/a/1.jpg", "train/a/Icon\r"),
    *("train/a/Thumbs.db", "train/a/THUMBS.DB", "train/desktop.ini", "train/$RECYCLE.BIN/1.jpg"),
    *("train/System Volume Information/x", "train/a/ehthumbs.db", "train/a/~$1.jpg"),
    *("train/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "train/a/@eaDir/1.jpg", "train/#recycle/a/1.jpg"),
    *("train/@Recycle/1.jpg", "train/.@__thumb/1.jpg", "train/#snapshot/1.jpg"),
    *("train/b/.ipynb_checkpoints/1-checkpoint.jpg", "train/lost+found/1.jpg", "train/LOST.DIR/1.jpg"),
    *("train/.git/1.jpg", "train/b/__pycache__/x.jpg", "train/.Trash-1000/files/1.jpg"),
]


@pytest.mark.parametrize("name", SYSTEM)
def test_hidden_and_system_names_are_no_images_and_no_classes(tmp_path: Path, name: str, capsys) -> None:
    source = load(write(photos(tmp_path), name))
    assert (source.size, list(source.class_names), source.passed_over.system) == (2, ["a", "b"], 1)
    assert main(["verify", str(tmp_path)]) == 0
    assert f"passed over: {tmp_path}/train: hidden and system files: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["classes", "thumbs", "icon", "eaDir", "macosx", "recycle", "lost and found", "~a"]
)
def test_names_that_only_resemble_them_are_classes(tmp_path: Path, name: str) -> None:
    assert name in load(write(photos(tmp_path), f"train/{name}/1.jpg")).class_names


def test_images_that_are_not_read_are_counted_by_suffix(tmp_path: Path, capsys) -> None:
    photos(tmp_path)
    write(tmp_path, "train/a/1.heic", "train/a/2.HEIC", "train/b/x/3.psd", "train/b/notes.txt", "val/b/4.svg")
    rows = stats(tmp_path, capsys)["splits"]
    assert rows["train"]["passed_over"] == {
        "system": 0,
        "unread": {".heic": 2, ".psd": 1},
        "other": {".txt": 1},
        "unlisted": 0,
    }
    assert rows["test"]["passed_over"]["unread"] == {".svg": 1}
    assert main(["stats", str(tmp_path)]) == 0
    assert "  passed over: images that are not read: 3 (.heic 2, .psd 1)" in capsys.readouterr().out
    datasets.load_both(DataConfig(name=str(tmp_path), **SMALL))
    text = "train passed over: images that are not read: 3 (.heic 2, .psd 1); other files: 1 (.txt 1)"
    assert f"warning: data: {tmp_path}/{text}" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".heic", ".psd", ".txt", ""])
def test_a_dataset_without_an_image_that_is_read_is_an_error(tmp_path: Path, suffix: str, capsys) -> None:
    write(tmp_path, f"train/a/1{suffix}", f"val/a/2{suffix}")
    with pytest.raises(DataError, match=r"train must hold examples, got none; .*: 1 \("):
        load(tmp_path)
    for verb in ("stats", "verify"):
        assert main([verb, str(tmp_path)]) == 1
        printed = capsys.readouterr()
        assert "train must hold examples, got none" in printed.out + printed.err


@pytest.mark.parametrize("file", ["1.heic", "notes.txt", ".DS_Store", None])
def test_a_class_that_training_has_no_image_of_is_an_error(tmp_path: Path, file: str | None, capsys) -> None:
    photos(tmp_path)
    (tmp_path / "train" / "c").mkdir()
    if file:
        write(tmp_path, f"train/c/{file}")
    with pytest.raises(DataError, match=r"each class in .*train must have .*, got none in 1 of 3: c"):
        load(tmp_path)
    assert main(["stats", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "classes without images: c" in printed.out
    assert printed.err.startswith("error: data: each class in ")
    assert main(["verify", str(tmp_path)]) == 1
    assert "got none in 1 of 3: c" in capsys.readouterr().out


def test_a_class_that_only_evaluation_lacks_is_none(tmp_path: Path) -> None:
    write(photos(tmp_path), "train/c/1.jpg")
    train, test = datasets.load_both(DataConfig(name=str(tmp_path), **SMALL))
    assert list(test.class_names) == list(train.class_names) == ["a", "b", "c"]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


ODD = {
    "nowhere": (lambda path: path.symlink_to("/nowhere"), "a link to nowhere"),
    "itself": (lambda path: path.symlink_to(path), "a link: Too many levels of symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "fifo": (make_fifo, "a FIFO"),
    "socket": (make_socket, "a socket"),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.timeout(20)
def test_what_is_no_file_is_a_damaged_image(tmp_path: Path, odd: str, capsys) -> None:
    make, name = ODD[odd]
    photos(tmp_path)
    for number in (3, 4):
        make(tmp_path / "train" / "a" / f"{number}.jpg")
    source = load(tmp_path)
    images, labels = source.gather(np.arange(source.size))
    assert (source.size, list(labels), images[0].max() > 0, images[1].max()) == (4, [0, -1, -1, 1], True, 0)
    assert main(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for number in (3, 4):
        assert f"bad: {tmp_path}/train/a/{number}.jpg: it must be a file, got {name}" in lines


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["classes.txt", "manifest.json"])
def test_a_file_beside_the_images_is_a_regular_one(tmp_path: Path, name: str) -> None:
    os.mkfifo(photos(tmp_path) / name)
    assert load(tmp_path).size == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", [".", "..", "../../train"])
def test_links_in_a_circle_end(tmp_path: Path, target: str) -> None:
    photos(tmp_path)
    (tmp_path / "train" / "a" / "again").symlink_to(target)
    assert load(tmp_path).size == 2


def test_a_linked_class_is_read(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/1.jpg", "elsewhere/deep/2.jpg")
    photos(tmp_path / "photos")
    (tmp_path / "photos" / "train" / "c").symlink_to("../../elsewhere")
    assert load(tmp_path / "photos").size == 4


def test_all_images_outside_of_classes_are_counted(tmp_path: Path) -> None:
    write(photos(tmp_path), *(f"train/{number}.jpg" for number in range(8)))
    listed = ", ".join(f"{tmp_path}/train/{number}.jpg" for number in range(5))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert f"data: {listed} and 3 more must lie in the folder of a class" in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "train", "test", "unused"),
    [
        (["train", "val"], "train", "val", []),
        (["train", "valid", "test"], "train", "valid", ["test"]),
        (["Train", "Validation", "Test"], "Train", "Validation", ["Test"]),
        (["TRAINING", "VAL"], "TRAINING", "VAL", []),
        (["train", "Test"], "train", "Test", []),
        (["training", "train", "test", "valid", "validation", "val"], "train", "val", None),
        (["train", "val", "Val"], "train", "val", ["Val"]),
        (["train", "val", "holdout"], "train", "val", ["holdout"]),
    ],
)
def test_the_split_that_evaluates_is_stated(
    tmp_path: Path, folders: list[str], train: str, test: str, unused: list[str] | None, capsys
) -> None:
    for folder in folders:
        write(tmp_path, f"{folder}/a/1.jpg")
    summary = stats(tmp_path, capsys)
    assert summary["splits"]["train"]["called"] == train
    assert summary["splits"]["test"]["called"] == test
    assert unused is None or summary["unused"] == unused
    datasets.load_both(DataConfig(name=str(tmp_path), **SMALL))
    line = f"data: {tmp_path} (folder): trains on '{train}' (1 images), evaluates on '{test}' (1)"
    assert line in capsys.readouterr().err


ACCENTED = "Crème brûlée"
NFC, NFD = unicodedata.normalize("NFC", ACCENTED), unicodedata.normalize("NFD", ACCENTED)


@pytest.mark.parametrize(("train", "test"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_both_spellings_of_an_accent_are_one_class(tmp_path: Path, train: str, test: str) -> None:
    write(tmp_path, f"train/{train}/1.jpg", "train/z/1.jpg", f"val/{test}/1.jpg", "val/z/2.jpg")
    sources = datasets.load_both(DataConfig(name=str(tmp_path), **SMALL))
    for source in sources:
        assert list(source.class_names) == [NFC, "z"]
        assert list(source.gather(np.arange(2))[1]) == [0, 1]


def test_two_folders_of_one_class_are_refused(tmp_path: Path) -> None:
    write(tmp_path, f"train/{NFC}/1.jpg", f"train/{NFD}/1.jpg", "val/z/1.jpg")
    with pytest.raises(DataError, match="must have different names, got 'Crème brûlée' twice: 'Cr"):
        load(tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff", b"a\nprogress step=9", b"a\x1b[2J", b" "])
def test_a_class_whose_name_cannot_be_written_is_refused_at_opening(tmp_path: Path, name: bytes) -> None:
    photos(tmp_path)
    folder = os.fsencode(tmp_path / "train") + b"/" + name
    os.mkdir(folder)
    with open(folder + b"/1.jpg", "wb") as file:
        file.write(PHOTO)
    with pytest.raises(DataError, match="must be a class name in UTF-8 without control characters") as caught:
        load(tmp_path)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"a\nprogress step=9.jpg", b"\x1b[2J.jpg"])
def test_a_file_of_any_name_is_read_and_shown_escaped(tmp_path: Path, name: bytes, capsys) -> None:
    photos(tmp_path)
    with open(os.fsencode(tmp_path / "train" / "a") + b"/" + name, "wb") as file:
        file.write(b"no image")
    source = load(tmp_path)
    assert source.size == 3
    source.gather(np.arange(3))
    assert main(["verify", str(tmp_path)]) == 1
    target = tmp_path / "packed"
    assert main(["pack", str(tmp_path), str(target), "--max-bad", "1"]) == 0
    printed = capsys.readouterr()
    shown = name.decode("ascii", "backslashreplace").replace("\n", "\\x0a").replace("\x1b", "\\x1b")
    assert f"bad: {tmp_path}/train/a/{shown}: it must be" in printed.out
    assert f"left out: train/a/{shown}: it must be" in printed.out
    assert "\x1b" not in printed.out + printed.err


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"caf\\xe9' must be a path in UTF-8"):
        load(photos(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))))


def test_stats_state_the_share_of_the_images_that_were_checked(tmp_path: Path, capsys, monkeypatch) -> None:
    write(tmp_path, *(f"train/a/{number:02d}.jpg" for number in range(40)), "val/a/1.jpg")
    write(tmp_path, "train/a/00.jpg", content=b"")
    monkeypatch.setattr("trainer.data.tools.stats.SAMPLE", 20)
    assert main(["stats", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "train: 40 images, 20 of them checked: 1 damaged (5.0%); `data verify` checks all" in printed
    assert f"  damaged: {tmp_path}/train/a/00.jpg: it must be" in printed
    assert "test (named val here): 1 images, 0 damaged" in printed


def test_stats_without_a_readable_image_fail(tmp_path: Path, capsys) -> None:
    write(tmp_path, "train/a/1.jpg", "train/a/2.jpg", "val/a/1.jpg", content=b"x")
    assert main(["stats", str(tmp_path)]) == 1
    assert "none of 2 images of split 'train' can be read; the first is" in capsys.readouterr().err


def test_stats_count_the_classes_of_training(tmp_path: Path, capsys) -> None:
    write(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/b/1.jpg")
    assert stats(tmp_path, capsys)["classes"] == 2


def test_a_folder_in_a_bucket_is_read_as_one_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    photos(tmp_path, test="Valid")
    system = ("train/a/._1.jpg", "train/@eaDir/1.jpg/x.jpg", "train/@eaDir/2.jpg/x.jpg", "train/.DS_Store")
    write(tmp_path, *system, "train/b/3.heic", "train/b/notes.txt", "val2/a/1.jpg")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    objects = {f"photos/{path.relative_to(tmp_path)}": path.read_bytes() for path in files}
    with serving({"photos/train/": b"", **objects}) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        sources = datasets.load_both(DataConfig(name="gs://b/photos", **SMALL))
        images, labels = sources[0].gather(np.arange(2))
    here = load(tmp_path)
    assert sources[0].passed_over == here.passed_over
    assert (here.passed_over.system, here.passed_over.unread) == (3, {".heic": 1})
    assert [source.size for source in sources] == [2, 2]
    np.testing.assert_array_equal(images, here.gather(np.arange(2))[0])
    assert list(labels) == [0, 1]
    line = "trains on 'train' (2 images), evaluates on 'Valid' (2); not used: 'val2'"
    assert f"data: gs://b/photos (folder): {line}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train/../../x/1.jpg", "train/a/../1.jpg", "train/./a/2.jpg"])
def test_an_object_whose_name_leads_elsewhere_is_passed_over(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {f"photos/{one}": PHOTO for one in ("train/a/1.jpg", "val/a/1.jpg", name)}
    with serving(objects) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        source = datasets.load(DataConfig(name="gs://b/photos", **SMALL), "train")
    assert (source.size, source.passed_over.system) == (1, 1)


def test_the_folder_of_a_class_that_is_a_link_to_nowhere_is_no_file_to_pass_over(tmp_path: Path) -> None:
    """A disk that is not mounted would otherwise cost a class without a word."""
    photos(tmp_path)
    (tmp_path / "train" / "zebra").symlink_to("/nowhere")
    with pytest.raises(DataError, match=r"train/zebra is a link to nowhere, where the folder of a class is"):
        datasets.load(DataConfig(name=str(tmp_path)), "train")
