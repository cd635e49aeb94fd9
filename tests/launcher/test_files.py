"""A file is written whole or not at all, and a failure leaves nothing beside it."""

import fcntl
from pathlib import Path

import pytest

from launcher import files
from launcher.errors import ActionError
from launcher.local import sweeping


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["a\r\nb\u00e9\n", b"\x00\xff", ""])
def test_it_is_written_with_its_permissions_over_what_was_there(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("another")
    files.write(path, content, 0o644)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(tmp_path) == ["file"]


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "first", new=True)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.write(path, "second", new=True)
    assert (path.read_text(), names(tmp_path)) == ("first", ["file"])


@pytest.mark.parametrize("content", ["text", b"bytes", "\udc80"])
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "file").mkdir()  # no file takes the place of a folder; the last text cannot be encoded
    with pytest.raises((OSError, UnicodeEncodeError)):
        files.write(tmp_path / "file", content)
    assert names(tmp_path) == ["file"]
    with pytest.raises((OSError, UnicodeEncodeError)):
        files.write(tmp_path / "absent" / "file", content)


def test_the_record_of_a_sweep_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / sweeping.RECORD).mkdir()
    with pytest.raises(ActionError, match=r"cannot write .*sweep\.json: "):
        sweeping._write(tmp_path, {"a": []})
    assert names(tmp_path) == [sweeping.RECORD]


def test_a_lock_is_seen_and_a_file_that_cannot_be_opened_has_none(tmp_path):
    path = tmp_path / "lock"
    assert not files.is_locked(path)
    with path.open("w") as file:
        assert not files.is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert files.is_locked(path)
    assert not files.is_locked(path)
