"""An archive of code: its checksum, and its files written to a directory that nothing escapes from."""

import hashlib
import io
import os
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from trainer.errors import ConfigError, StorageError, is_full, printable

LARGEST = 256 << 20  # bytes of all files together; the launcher packs at most a quarter of it
MOST_ENTRIES = 200_000
BLOCK = 512  # bytes of a header of a tar archive


def verify(archive: bytes, digest: str, source: str) -> None:
    """Refuse an archive whose SHA-256 is not the expected one.

    Raises:
      ConfigError: it was changed or cut off.
    """
    actual = hashlib.sha256(archive).hexdigest()
    if actual != digest:
        raise ConfigError(
            f"code: {source} must have the SHA-256 {digest}, got {actual} in {len(archive)} bytes: "
            "it was changed since it was packed",
            "submit the run again; --code packs the code anew",
        )


def unpack(archive: bytes, directory: Path, source: str) -> int:
    """Write the files of a .tar.gz into a directory and return their number; what was in it is removed.

    Every entry is checked before the first is written. Links are made last, so that no file goes through one.

    Raises:
      ConfigError: it is no such archive, or an entry could leave the directory or is neither file nor link.
      StorageError: the directory takes no more bytes.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_decompressed(archive)), mode="r:") as tar:
            members = tar.getmembers()
            _check(members, source)
            _clear(directory)
            for member in members:
                _write(tar, member, directory)
            for member in members:
                if member.issym():
                    path = directory / member.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(member.linkname)
    except (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise ConfigError(f"code: {source} must be a .tar.gz, got damage: {error}") from error
    except OSError as error:
        text = f"code: cannot be unpacked to {directory}: {error.strerror or error}"
        raise (StorageError(text) if is_full(error) else ConfigError(text)) from error
    return sum(not member.isdir() for member in members)


def _decompressed(archive: bytes) -> bytes:
    """Return the tar archive; one that would exceed the limit is refused before it fills the memory."""
    most = LARGEST + MOST_ENTRIES * 2 * BLOCK
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    data = decompressor.decompress(archive, most)
    if decompressor.unconsumed_tail:
        raise ConfigError(f"code: the archive must be at most {most >> 20} MiB when unpacked, got more")
    if not decompressor.eof or decompressor.unused_data:
        raise EOFError("it does not end where its last file ends")
    return data


def _check(members: list[tarfile.TarInfo], source: str) -> None:
    """Refuse an archive that would write outside its directory, or write more than it may."""
    kinds: dict[str, str] = {}
    for member in members:
        name = member.name
        kind = "folder" if member.isdir() else "file" if member.isreg() else "link" if member.issym() else ""
        if not _is_inside(name):
            raise _wrong(source, f"names inside its directory, got '{printable(name)}'")
        if not kind:
            raise _wrong(source, f"files, folders and links only, got another kind at '{printable(name)}'")
        if name in kinds and "folder" not in (kind, kinds[name]):
            raise _wrong(source, f"each name once, got '{printable(name)}' again")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        if kind == "link" and (not member.linkname or member.linkname.startswith("/") or _is_above(target)):
            raise _wrong(
                source,
                f"links inside its directory, got '{printable(name)}' -> '{printable(member.linkname)}'",
            )
        kinds[name] = kind
    for name in kinds:
        for folder in _folders(name):
            if kinds.get(folder, "folder") != "folder":
                raise _wrong(
                    source, f"folders above its files, got '{printable(name)}' below a {kinds[folder]}"
                )
    if len(members) > MOST_ENTRIES or sum(member.size for member in members) > LARGEST:
        raise _wrong(source, f"at most {LARGEST >> 20} MiB in {MOST_ENTRIES} files")


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and "\0" not in name and not set(parts) & {"", ".", ".."}


def _is_above(target: str) -> bool:
    return target == ".." or target.startswith("../")


def _folders(name: str) -> Iterable[str]:
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _clear(directory: Path) -> None:
    """Empty the directory, which may be a mount; a container that is started again finds its old files."""
    directory.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    path = directory / member.name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif member.isreg():
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if member.mode & 0o100 else 0o644
        content = tar.extractfile(member)
        assert content is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, mode), "wb") as file:
            shutil.copyfileobj(content, file)


def _wrong(source: str, text: str) -> ConfigError:
    return ConfigError(f"code: {source} must hold {text}", "resnet-launch submit --code packs such archives")
