"""Place: the folder of a dataset, on a disk or in a bucket, and nothing of what its files mean."""

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import DataError, StorageError, TrainError
from trainer.faults import lasts

READABLE = "it must be there, and this user may need the right to use it"
CONNECTIONS = 64  # to a bucket at a time: it answers after tens of milliseconds, whatever is asked
GRANT = "the pod's service account needs roles/storage.objectViewer on the bucket (objectAdmin to write)"


@dataclass(frozen=True)
class Place:
    """A local path or ``gs://bucket/prefix``. Names of files are relative to it, with ``/`` between parts.

    Methods raise DataError where a name or a right is wrong, StorageError where trying again may help.
    """

    path: str

    @property
    def remote(self) -> bool:
        return self.path.startswith("gs://")

    def local(self, name: str = "") -> Path:
        return Path(self.path, name)

    def address(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def files(self, below: str = "") -> dict[str, int]:
        """Every file under a folder of the place, at any depth: name -> bytes, in the order of names."""
        with self._reaching(below):
            found = self._objects(below) if self.remote else dict(_walk(self.local(), below))
        return dict(sorted(found.items()))

    def top(self) -> tuple[list[str], dict[str, int]]:
        """Folders and files (name -> bytes) directly in the place; both empty where it does not exist."""
        with self._reaching():
            if not self.remote:
                entries = sorted(os.scandir(self.path), key=lambda e: e.name) if self.local().is_dir() else []
                folders = [e.name for e in entries if e.is_dir()]
                return folders, {e.name: e.stat().st_size for e in entries if e.is_file()}
            prefixes, objects = self._listed(self._key(""), delimiter="/")
            files = {name.rsplit("/", 1)[-1]: size for name, size in objects.items()}
            files.pop("", None)
            return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in prefixes), files

    def read(self, name: str) -> bytes:
        with self._reaching(name):
            return self.blob(name).download_as_bytes() if self.remote else self.local(name).read_bytes()

    def read_if_there(self, name: str) -> bytes | None:
        """None for a file that does not exist."""
        return self.read(name) if self.exists(name) else None

    def exists(self, name: str) -> bool:
        with self._reaching(name):
            return self.blob(name).exists() if self.remote else self.local(name).is_file()

    def put(self, name: str, file: Path) -> None:
        """Moves a finished local file into the place; whoever looks sees all of it or nothing."""
        with self._reaching(name):
            if self.remote:
                self.blob(name).upload_from_filename(str(file), checksum="crc32c")
                file.unlink()
                return
            target = self.local(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.new")  # a rename is only whole within one disk
            shutil.move(file, beside)
            beside.replace(target)

    def delete(self, name: str) -> None:
        with self._reaching(name):
            if self.remote:
                self.blob(name).delete()
            else:
                self.local(name).unlink()

    def blob(self, name: str) -> Any:
        return self._bucket.blob(self._key(name))

    @contextlib.contextmanager
    def _reaching(self, name: str = "") -> Iterator[None]:
        with reaching(self.address(name) if name else self.path):
            yield

    @functools.cached_property
    def _bucket(self) -> Any:
        from google.cloud import storage
        from requests.adapters import HTTPAdapter

        bucket = self.path.removeprefix("gs://").partition("/")[0]
        with self._reaching():
            client = storage.Client()
            adapter = HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
            client._http.mount("https://", adapter)  # its ten would be thrown away and opened anew
            client._http.mount("http://", adapter)
            return client.bucket(bucket)

    def _key(self, name: str) -> str:
        prefix = self.path.removeprefix("gs://").partition("/")[2].strip("/")
        return f"{prefix}/{name}" if prefix else name

    def _objects(self, below: str) -> dict[str, int]:
        """Many folders at a time: a folder's pages of 1,000 objects come one after the other."""
        start = self._key(f"{below}/" if below else "")
        folders, found = self._listed(start, delimiter="/")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _, more in pool.map(self._listed, folders):
                found |= more
        start = self._key("")
        return {name.removeprefix(start): size for name, size in found.items() if not name.endswith("/")}

    def _listed(self, prefix: str, delimiter: str | None = None) -> tuple[list[str], dict[str, int]]:
        """Prefixes up to the next delimiter, and objects with their sizes."""
        fields = "items(name,size),prefixes,nextPageToken"
        answer = self._bucket.list_blobs(prefix=prefix, delimiter=delimiter, fields=fields)
        found = {blob.name: int(blob.size or 0) for blob in answer}
        return sorted(answer.prefixes), found


def _walk(root: Path, below: str) -> Iterator[tuple[str, int]]:
    def refuse(error: OSError) -> None:
        raise error  # a folder that cannot be listed must not look like an empty one

    for folder, _, names in os.walk(root / below, onerror=refuse, followlinks=True):
        for name in names:
            path = Path(folder, name)
            with reaching(str(path)):  # a link may lead nowhere
                yield path.relative_to(root).as_posix(), path.stat().st_size


@contextlib.contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turns what a file system or the bucket's client says into an error of ours that names the address."""
    try:
        yield
    except TrainError:
        raise
    except Exception as error:  # each client has its own kinds
        if lasts(error):
            hint = GRANT if address.startswith("gs://") else READABLE
            raise DataError(f"data: cannot use {address}: {_words(error)}", hint) from error
        raise StorageError(f"data: {address} does not answer: {_words(error)}") from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
