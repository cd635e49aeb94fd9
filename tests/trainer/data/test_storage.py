"""Only regular files are read: a FIFO or a device might never end."""

import os
from pathlib import Path

import pytest

from trainer.data.storage import Place
from trainer.errors import DataError


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.mkdir(), "a folder"),
    ],
)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make, kind: str) -> None:
    make(tmp_path / "manifest.json")
    with pytest.raises(DataError, match=rf"manifest.json must be a regular file, got {kind}"):
        Place(str(tmp_path)).read("manifest.json")


def test_a_folder_that_cannot_be_listed_does_not_look_empty(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes(b"")
    with pytest.raises(DataError, match=rf"cannot use {tmp_path}/train: Not a directory"):
        Place(str(tmp_path)).files("train")
