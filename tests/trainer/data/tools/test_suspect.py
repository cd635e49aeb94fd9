"""Suspect images: listed by verify, shown by training, encoded anew by pack."""

from pathlib import Path

import numpy as np
import pytest
from odd_files import after_header, chunk, saved
from pictures import picture
from PIL import Image

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main

JPEG, PNG = saved("JPEG", quality=90), saved("PNG", picture() // 2)
SUSPECT = {
    "1.jpg": (after_header(JPEG, b"\0\0"), "2 bytes stand between its segments"),
    "2.jpg": (
        saved("JPEG", picture() // 3)[:-2] + bytes(40) + b"\xff\xd9",
        "Corrupt JPEG data: 38 extraneous bytes before marker 0xd9",
    ),
    "3.jpg": (saved("JPEG", picture() // 4)[:-2], "Premature end of JPEG file"),
    "4.png": (PNG[:-12], "the file ends early"),
    "5.png": (PNG[:-16] + bytes(4) + PNG[-12:], "its chunk 'IDAT' differs from its checksum"),
    "6.gif": (
        saved("GIF", save_all=True, append_images=[Image.fromarray(picture() // 2)]),
        "it holds several frames, of which the first is used",
    ),
}
GOOD = {
    "7.jpg": saved("JPEG", picture() // 5),
    "8.jpg": saved("JPEG", picture() // 6) + bytes(90),
    "9.png": PNG[:33] + chunk(b"zzZz", b"hello") + PNG[33:],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (root / split / label).mkdir(parents=True)
            (root / split / label / "0.png").write_bytes(
                saved("PNG", picture() // (2 + len(split + label) % 5))
            )
    for name, data in {**{name: data for name, (data, _) in SUSPECT.items()}, **GOOD}.items():
        (root / "train" / "cat" / name).write_bytes(data)
    return root


def test_verify_lists_what_a_decoder_complains_of(photos: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", str(photos)]) == 0  # they have all of their pixels
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("suspect", "bad: /"))] == [
        f"suspect: {photos}/train/cat/{name}: {text}" for name, (_, text) in SUSPECT.items()
    ]
    assert lines[-1].startswith("bad: 0, suspect: 6, ")


def test_training_uses_them_and_pack_encodes_them_anew(photos: Path, tmp_path: Path, capsys) -> None:
    assert main(["pack", str(photos), str(tmp_path / "packed")]) == 0
    assert main(["verify", str(tmp_path / "packed")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("bad: 0, suspect: 0, ")
    shown = []
    for path in (photos, tmp_path / "packed"):
        config = DataConfig(name=str(path), image_size=32, min_area=1.0, eval_crop=1.0, bad_images=0)
        data = datasets.load(config, "train")
        shown.append(data.gather(np.arange(data.size))[0].astype(int))
    assert len(shown[0]) == len(SUSPECT) + len(GOOD) + 2
    assert np.abs(shown[0] - shown[1]).mean((1, 2, 3)).max() < 4
    assert (shown[0].max((1, 2, 3)) > 20).all()
