"""The init container of --code: what it refuses, with which exit code, and what it leaves behind."""

import gzip
import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import local_bucket
import pytest

from trainer.code.__main__ import main

CASES = 500
TEXT = b"print('hello')\n"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def packed(*members: tarfile.TarInfo) -> bytes:
    """An archive of members; files hold as many bytes as their size."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO((TEXT * (info.size // len(TEXT) + 1))[: info.size]))
    return gzip.compress(buffer.getvalue())


GOOD = packed(member("a.py", size=len(TEXT)), member("d/link", tarfile.SYMTYPE, "../a.py"))


class Container:
    """Runs the init container on an archive."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.archive, self.target, self._capsys = folder / "code.tar.gz", folder / "code", capsys

    def __call__(self, archive: bytes, digest: str = "", source: str = "") -> tuple[int, str]:
        """Exit code and stderr."""
        self.archive.write_bytes(archive)
        digest = digest or hashlib.sha256(archive).hexdigest()
        code = main([source or str(self.archive), str(self.target), digest])
        return code, self._capsys.readouterr().err


@pytest.fixture
def container(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Container:
    return Container(tmp_path, capsys)


def test_a_container_that_is_started_again_replaces_what_is_there(container: Container) -> None:
    container.target.mkdir()
    (container.target / "old").symlink_to("/etc")
    (container.target / "d").mkdir()
    for _ in range(2):
        assert container(GOOD) == (0, "")
        assert sorted(path.name for path in container.target.rglob("*")) == ["a.py", "d", "link"]
    assert (container.target / "d" / "link").read_bytes() == TEXT
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("../x")], "names inside its directory, got '../x'"),
        ([member("/x")], "names inside its directory, got '/x'"),
        ([member("a/../../x")], "names inside its directory, got 'a/../../x'"),
        ([member("./a")], "names inside its directory"),
        ([member("a//b")], "names inside its directory"),
        ([member("..", tarfile.DIRTYPE)], "names inside its directory"),
        ([member("l", tarfile.SYMTYPE, "/etc")], "links inside its directory, got 'l' -> '/etc'"),
        ([member("l", tarfile.SYMTYPE, "..")], "links inside its directory"),
        ([member("d/l", tarfile.SYMTYPE, "../../x")], "links inside its directory"),
        (
            [member("l", tarfile.SYMTYPE, "d"), member("l/x")],
            "folders above its files, got 'l/x' below a link",
        ),
        ([member("l/x"), member("l", tarfile.SYMTYPE, "d")], "folders above its files"),
        ([member("f"), member("f/x")], "folders above its files, got 'f/x' below a file"),
        ([member("a"), member("a")], "each name once, got 'a' again"),
        ([member("a"), member("a", tarfile.SYMTYPE, "b")], "each name once"),
        ([member("h", tarfile.LNKTYPE, "a.py")], "files, folders and links only, got another kind at 'h'"),
        ([member("n", tarfile.CHRTYPE)], "files, folders and links only"),
        ([member("n", tarfile.BLKTYPE)], "files, folders and links only"),
        ([member("n", tarfile.FIFOTYPE)], "files, folders and links only"),
        ([member("\x1b[2J", tarfile.FIFOTYPE)], r"got another kind at '\x1b[2J'"),
    ],
)
def test_what_would_leave_the_directory_is_refused_before_anything_is_written(
    container: Container, members: list[tarfile.TarInfo], message: str
) -> None:
    code, text = container(packed(member("first", size=5), *members))
    assert code == 44
    assert text.startswith(f"error: code: {container.archive} must hold ")
    assert message in text
    assert text.count("\n") == 2  # the error and its hint
    assert not container.target.exists()


def test_a_damaged_archive_is_unpacked_inside_or_refused(container: Container, tmp_path: Path) -> None:
    """Headers are changed below the compression, whose own checksum would refuse every change."""
    links = [member("d/link", tarfile.SYMTYPE, "../a.py"), member("top", tarfile.SYMTYPE, "d")]
    good = gzip.decompress(packed(member("a.py", size=20), member("d/e/f", size=600), *links))
    chance, unpacked = random.Random(20), 0
    for _ in range(CASES):
        data = bytearray(good)
        header = chance.choice(
            [index for index in range(0, len(good), 512) if good[index + 257 : index + 262] == b"ustar"]
        )
        for _ in range(chance.randint(1, 3)):
            field, length = chance.choice([(0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (345, 155)])
            position = header + field + chance.randrange(min(length, 8))
            data[position] = chance.choice(b"./\x00017259xg\xff ~")
        total = sum(data[header : header + 148]) + 8 * 32 + sum(data[header + 156 : header + 512])
        data[header + 148 : header + 156] = b"%06o\0 " % total
        code, text = container(gzip.compress(bytes(data), 1))
        assert code in (0, 44), text
        assert sorted(os.listdir(tmp_path)) in (["code", "code.tar.gz"], ["code.tar.gz"])
        for path in container.target.rglob("*"):
            assert path.resolve().is_relative_to(container.target.resolve()), path
        unpacked += code == 0
    assert 50 < unpacked < CASES - 50  # both ends are reached


def test_an_archive_that_was_changed_is_refused(container: Container) -> None:
    for changed in (GOOD + b"x", GOOD[:-1], GOOD[:40] + b"y" + GOOD[41:], b""):
        code, text = container(changed, hashlib.sha256(GOOD).hexdigest())
        assert code == 44
        assert f"must have the SHA-256 {hashlib.sha256(GOOD).hexdigest()}, got " in text
        assert not container.target.exists()


@pytest.mark.parametrize(
    "archive", [b"", b"text", GOOD[:-8], GOOD + GOOD, gzip.compress(b"x" * 2000, mtime=0)]
)
def test_what_is_no_archive_is_refused(container: Container, archive: bytes) -> None:
    code, text = container(archive)
    assert (code, container.target.exists()) == (44, False)
    assert "must be a .tar.gz, got damage" in text


def test_an_archive_that_would_fill_the_node_is_refused(container: Container, monkeypatch) -> None:
    monkeypatch.setattr("trainer.code.archive.LARGEST", 1 << 20)
    monkeypatch.setattr("trainer.code.archive.MOST_ENTRIES", 100)
    for archive in (packed(member("a", size=3 << 20)), packed(*[member(str(i)) for i in range(101)])):
        code, text = container(archive)
        assert (code, container.target.exists()) == (44, False)
        assert "at most 1 MiB" in text


def test_a_source_that_is_missing_or_closed(container: Container, tmp_path: Path) -> None:
    code, text = container(GOOD, source=str(tmp_path / "none"))
    assert code == 44
    assert text.startswith(f"error: code: {tmp_path / 'none'} must exist, got no such archive\nhint: submit")
    code, text = container(GOOD, source=str(tmp_path))
    assert (code, "cannot be read: Is a directory" in text) == (44, True)


def test_a_directory_that_cannot_be_written(container: Container, tmp_path: Path) -> None:
    container.target = tmp_path / "file" / "code"
    (tmp_path / "file").touch()
    code, text = container(GOOD)
    assert (code, "cannot be unpacked to" in text) == (44, True)


def test_from_a_bucket(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_bucket.serving({"run/code/x.tar.gz": GOOD}) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        assert container(GOOD, source="gs://b-1/run/code/x.tar.gz") == (0, "")
        code, text = container(GOOD, source="gs://b-1/run/code/y.tar.gz")
    assert code == 44
    assert "gs://b-1/run/code/y.tar.gz must exist, got no such archive" in text


def test_a_bucket_that_does_not_answer_may_be_tried_again(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: str) -> bytes:
        raise TimeoutError("timed out")

    monkeypatch.setattr("trainer.code.fetch._from_bucket", broken)
    code, text = container(GOOD, source="gs://b-1/x")
    assert (code, text) == (43, "error: code: gs://b-1/x does not answer: timed out\n")


def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a"]) == 44
    assert "must have three arguments, got 1\nhint: python -m trainer.code" in capsys.readouterr().err


def test_modes_are_those_of_the_archive(container: Container) -> None:
    tool = member("tool", size=3)
    tool.mode = 0o777
    before = os.umask(0o022)
    try:
        assert container(packed(tool, member("plain", size=3))) == (0, "")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in container.target.iterdir()}
    assert modes == {"tool": 0o755, "plain": 0o644}
