"""What `predict` takes for pictures: files, folders, and stdin as a picture or as a list."""

import io
import os

import cv2
import pytest
from pictures import jpeg, picture, png

from trainer.config import ModelConfig
from trainer.errors import DataError
from trainer.weights import pictures as named_pictures
from trainer.weights.file import Weights
from trainer.weights.inference import read_image

WEIGHTS = Weights(
    model=ModelConfig(), class_names=["a"], image_size=16, mean=(0.5,) * 3, std=(0.5,) * 3, arrays={}
)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
BMP = cv2.imencode(".bmp", picture())[1].tobytes()


def names(arguments, stdin=b""):
    results = named_pictures.named(arguments, io.BytesIO(stdin))
    return [str(result) if isinstance(result, DataError) else result.name for result in results]


@pytest.fixture
def folder(tmp_path):
    """Pictures with and without suffixes, among files that are none."""
    for name in ("b/.git", "b/@eaDir", "__MACOSX", "empty", "c"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "b/2.JPG",
        "10.png",
        "b/no suffix",
        "b/@eaDir/1.jpg",
        "__MACOSX/1.jpg",
        ".hidden.jpg",
        "c/x\u00e9.heic",
    ):
        (tmp_path / name).write_bytes(HEIC if name.endswith("heic") else jpeg(picture()))
    for name in ("notes.txt", "b/list.txt", "c/Makefile"):
        (tmp_path / name).write_text("text\n")
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_stands_for_its_pictures_and_counts_what_is_passed_over(folder, capsys):
    below = [os.path.relpath(name, folder) for name in names([str(folder)])]
    assert below == ["10.png", "b/2.JPG", "b/no suffix", "c/x\u00e9.heic"]
    assert capsys.readouterr().err == (
        f"warning: {folder}: passed over 3 that are no images (.txt: 2, no suffix: 1)\n"
    )
    assert names([str(folder / "empty")]) == [f"{folder}/empty: must hold pictures, got none"]


@pytest.mark.parametrize("image", [jpeg(picture()), png(picture()), HEIC, BMP, b"P3\n1 1 255 0 0 0\n"])
def test_a_picture_on_stdin_is_one_picture(image):
    [only] = named_pictures.named(["-"], io.BytesIO(image))
    assert (only.name, only.read()) == ("-", image)


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        (b"a.jpg\nBMW/b c.png\n", ["a.jpg", "BMW/b c.png"]),
        (b"a.jpg\r\n\r\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        ("caf\u00e9.jpg\n-\n".encode(), ["caf\u00e9.jpg", "./-"]),
        (b"bad\xff.jpg\n", ["bad\udcff.jpg"]),
        (b"", ["stdin: must hold a picture, or a list of files with one per line, got nothing"]),
        (b"\n \n", ["stdin: must hold a picture, or a list of files with one per line, got nothing"]),
    ],
)
def test_text_on_stdin_is_a_list_of_files(stdin, expected):
    assert names(["-"], stdin) == expected


def test_a_list_may_name_folders(folder):
    assert len(names(["-", "x.jpg"], f"{folder}/b\n{folder}/10.png\n".encode())) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEIC, "p: HEIC image: not read; convert it to JPEG"),
        (b"\xff\x0a" + bytes(9), "p: JPEG XL image: not read; convert it to JPEG"),
        (b"%PDF-1.7", "p: PDF file: not read; convert it to JPEG"),
        (b"", "p: it must be an image (JPEG, PNG, "),
        (b"hello", "got 5 bytes that begin with 68 65 6c 6c"),
        (jpeg(picture())[:100], "p: must be an image, got "),
        (None, "p: must be an image, got no such file or directory"),
    ],
)
def test_a_picture_that_is_not_read_says_why(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "p").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(named_pictures.Picture(name="p"), WEIGHTS, 10_000_000)
    assert message in str(caught.value)
