"""Blobs and layers that were made before, in a folder of this user's own outside every checkout.

`blobs/` holds bytes by their digest, `layers/` what was made of which inputs. Several builds may use the
folder at once: a layer is made by one of them, and a file gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from launcher import files
from launcher.errors import ActionError
from launcher.image.layer import Layer

UNUSED_DAYS = 30  # what no build has used for so long is deleted
SCRATCH_DAYS = 1  # a build that is older was killed
BLOCK = 1 << 20
HINT = "RESNET_CACHE names another folder"


class Damaged(Exception):
    """The bytes of a blob are not those of its digest; it has been deleted."""


def open_cache(root: Path | None = None) -> Cache:
    """Return the cache in a folder, which is made with mode 0700; by default `$RESNET_CACHE/image`.

    Raises:
      ActionError: it cannot be made, or others can change what it holds.
    """
    root = root or files.cache_folder("image")
    with writing(root):
        for folder in (root, root / "blobs", root / "layers", root / "scratch"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if reason := _danger(folder):
                raise ActionError(f"{folder} must be a folder that only you can change: {reason}", HINT)
    return Cache(root)


@contextlib.contextmanager
def writing(path: Path, hint: str = HINT) -> Iterator[None]:
    """Name a path in the error of what cannot be written below it, such as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        raise ActionError(f"cannot write {error.filename or path}: {error.strerror}", hint) from None


class Cache:
    """The folder of blobs and layers."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, digest: str) -> Path:
        """Return the place of a blob, which need not be there."""
        return self.root / "blobs" / digest.replace(":", "-")

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder that is deleted afterwards."""
        with writing(self.root):
            folder = Path(tempfile.mkdtemp(dir=self.root / "scratch"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def layer(self, key: str, make: Callable[[Path, BinaryIO], Layer], wait: Callable[[], None]) -> Layer:
        """Return the layer that was made of the inputs that `key` names, or make it.

        Args:
          key: hash of all inputs.
          make: writes the layer into a file; it may use an empty folder.
          wait: is called where another build is making it.

        Raises:
          ActionError: the disk is full, or the folder cannot be written.
        """
        record = self.root / "layers" / f"{key}.json"
        with writing(self.root), _locked(record.with_suffix(".lock"), wait):
            if layer := self._recorded(record):
                return layer
            with self.scratch() as folder:
                (folder / "work").mkdir()
                with (folder / "blob").open("wb") as file:
                    layer = make(folder / "work", file)
                (folder / "blob").replace(self.blob(layer.digest))
                (folder / "record").write_text(json.dumps(asdict(layer)), encoding="utf-8")
                (folder / "record").replace(record)
            return layer

    def _recorded(self, record: Path) -> Layer | None:
        """Return the layer of a record whose blob is there; None for what is not whole."""
        try:
            layer = Layer(**json.loads(record.read_text(encoding="utf-8")))
            if self.blob(layer.digest).stat().st_size != layer.size:
                return None
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        os.utime(record)
        os.utime(self.blob(layer.digest))
        return layer

    def text(self, key: str, make: Callable[[], str]) -> str:
        """Return a text that was made of the inputs that `key` names, or make it."""
        record = self.root / "layers" / f"{key}.txt"
        with contextlib.suppress(OSError, ValueError):
            digest, _, text = record.read_text(encoding="utf-8").partition("\n")
            if digest == hashlib.sha256(text.encode()).hexdigest():
                os.utime(record)
                return text
        text = make()
        with writing(self.root), self.scratch() as folder:
            content = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
            (folder / "text").write_text(content, encoding="utf-8")
            (folder / "text").replace(record)
        return text

    def keep(self, digest: str, parts: Iterator[bytes]) -> Path:
        """Write a blob and return its place.

        Raises:
          ActionError: it cannot be written.
          Damaged: the bytes are not those of the digest; nothing is kept.
        """
        sha256 = hashlib.sha256()
        with writing(self.root), self.scratch() as folder:
            with (folder / "blob").open("wb") as file:
                for part in parts:
                    sha256.update(part)
                    file.write(part)
            if f"sha256:{sha256.hexdigest()}" != digest:
                raise Damaged(digest)
            (folder / "blob").replace(self.blob(digest))
        return self.blob(digest)

    def verified(self, digest: str) -> Path:
        """Return the place of a blob whose bytes are those of its digest.

        Raises:
          Damaged: they are not, or it is gone.
        """
        path, actual = self.blob(digest), hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    actual.update(block)
        except OSError:
            raise Damaged(digest) from None
        if f"sha256:{actual.hexdigest()}" != digest:
            path.unlink(missing_ok=True)
            raise Damaged(digest)
        os.utime(path)
        return path

    def forget_unused(self) -> None:
        """Delete what no build has used for a month, and what killed builds left."""
        now = time.time()
        for name, days in {"blobs": UNUSED_DAYS, "layers": UNUSED_DAYS, "scratch": SCRATCH_DAYS}.items():
            for path in (self.root / name).iterdir():
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime > now - days * 86400 or path.suffix == ".lock":
                        continue
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that the system releases with the process."""
    try:
        import fcntl
    except ImportError:  # Windows: two builds may both make a layer; the bytes are the same
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _danger(folder: Path) -> str:
    """Return who else can change what a folder holds; an empty string where nobody can."""
    if not hasattr(os, "geteuid"):
        return ""
    trusted = (0, os.geteuid())
    if folder.lstat().st_uid not in trusted or folder.stat().st_uid not in trusted:
        return f"it belongs to user {folder.lstat().st_uid}"
    if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"its mode is {folder.stat().st_mode & 0o7777:o}"
    for above in folder.resolve().parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"everyone can rename it in {above}, with mode {mode & 0o7777:o}"
    return ""
