"""The archive of a directory's code: the same files give the same bytes, whoever packs them and when."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from launcher.code import selection
from launcher.code.selection import Entry
from launcher.errors import Problem, RequestError
from launcher.request.packed_code import PackedCode

# Magic number, deflate, no flags, no time, best compression, unknown system: RFC 1952, section 2.3. The gzip
# module writes the time and, depending on its version, the system.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"

MODULE = {"trainer.py", "trainer/__init__.py"}  # what `python -m trainer` would import
PROJECT = {"trainer/__main__.py", "trainer/rundir/directory.py"}  # by which a copy of this project is known


def pack(directory: str | Path) -> PackedCode:
    """Return the code of a directory: what git tracks there, or outside git what .dockerignore leaves.

    Raises:
      RequestError: the directory cannot be packed; the error names what is wrong in it.
    """
    if not str(directory).strip():
        raise RequestError(Problem("code", f"must be a directory, got {str(directory)!r}"))
    selected = selection.select(Path(os.path.expanduser(directory)))
    archive = gzip(tar(selected.entries))
    paths = {entry.path for entry in selected.entries}
    has_trainer, notes = MODULE & paths, selected.notes
    if has_trainer and paths >= PROJECT:
        notes += ("the trainer of the code runs in place of the image's",)
    sizes = {entry.path: len(entry.content) for entry in selected.entries}
    return PackedCode(
        digest=hashlib.sha256(archive).hexdigest(),
        commit=selected.commit,
        dirty=selected.dirty,
        archive=archive,
        shadows=bool(has_trainer) and not paths >= PROJECT,
        largest=f"; the largest files are {selection.largest(sizes)}",
        notes=notes,
    )


def tar(entries: Iterable[Entry]) -> bytes:
    """Return a tar archive in PAX format of files and links, in their order, without owners and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode = 0o755 if entry.executable else 0o644
            if entry.target:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def gzip(data: bytes) -> bytes:
    """Return data in gzip format; the bytes depend on the data and on the version of zlib only."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = compressor.compress(data) + compressor.flush()
    length = (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return GZIP_HEADER + body + zlib.crc32(data).to_bytes(4, "little") + length
