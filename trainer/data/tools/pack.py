"""Packing of any dataset: in parallel, resumable, with the same bytes every time.

``pack.json`` holds the request until the target is finished. ``manifest.json`` is written last; only with it
is the target a dataset.
"""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import google_crc32c
import numpy as np
from etils import epath

from trainer import __version__
from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats import held_out
from trainer.data.formats.detect import encoded, find
from trainer.data.formats.packed import FORMAT, INDEX, MANIFEST, read_manifest
from trainer.data.pipeline import cores
from trainer.data.storage import Place, storage_errors
from trainer.data.tools.pack_image import Packing
from trainer.data.tools.pack_shards import ShardWriter, put_bytes, read_json, read_part, shard_names
from trainer.errors import DataError
from trainer.rundir.files import open_lock
from trainer.runtime.counter import Advance

REQUEST = "pack.json"
ALLOWED = "max_bad"  # changes no byte of the shards that are finished, so a pack continues with another


def pack(source: str, target: str, packing: Packing, config: DataConfig, advance: Advance) -> dict[str, Any]:
    """Pack every split and return the manifest; an interrupted pack continues where it stopped.

    Args:
      source, target: a local path or gs:// address each.
      advance: called with the number of images that were finished.

    Raises:
      DataError: the source is damaged, or the target holds other files or another pack.
    """
    dataset, place = held_out.applied(find(source, config.subset), config), Place(target)
    splits = {split: encoded(dataset, split, config) for split in dataset.splits}
    request = _request(source, splits, packing)
    with _locked(place):
        existing = _claim_target(place, request)
        if MANIFEST not in existing:
            ShardWriter(
                place=place,
                source=source,
                packing=packing,
                max_pixels=config.max_pixels,
                threads=config.threads or cores(),
                advance=advance,
            ).write(splits, existing)
            _finish(place, splits, packing, request)
        else:
            _check_left_out(place, packing)
        for name in place.top_level()[1]:
            if name.endswith(".part.json") or name == REQUEST:
                place.delete(name)
    return read_manifest(place)


def _request(source: str, splits: Mapping[str, Encoded], packing: Packing) -> dict[str, Any]:
    """Everything that determines the bytes of the result; a resumed pack must have the same."""
    names = {split: "\n".join(map(data.name, range(data.size))) for split, data in splits.items()}
    return {
        "format": FORMAT,
        "tool": f"resnet-launch {__version__}",
        "source": source,
        "images": {split: data.size for split, data in splits.items()},
        "names_crc32c": {split: google_crc32c.value(text.encode()) for split, text in names.items()},
        "classes": list(next(iter(splits.values())).class_names),
        **asdict(packing),
    }


def _check_left_out(place: Place, packing: Packing) -> None:
    """Raise DataError where a finished pack leaves out more images than this request allows."""
    if (count := len(read_manifest(place)["left_out"])) > packing.max_bad:
        text = f"data pack: {place.path} is a finished pack that leaves out {count} damaged images"
        raise DataError(f"{text}, --max-bad {packing.max_bad}", f"--max-bad {count}, or another folder")


def _claim_target(place: Place, request: Mapping[str, Any]) -> set[str]:
    """Claim an empty target, or one that the same request began; return its files.

    Raises:
      DataError: the target holds other files or another pack.
    """
    folders, files = place.top_level()
    if MANIFEST in files:
        earlier = read_json(place, MANIFEST).get("request")
        earlier = earlier if isinstance(earlier, dict) else {}
    elif REQUEST in files:
        earlier = read_json(place, REQUEST)
    elif entries := [entry for entry in (*folders, *files) if not entry.startswith(".")]:
        raise DataError(f"data pack: {place.path} must be empty, got {entries[0]}", "name another folder")
    else:
        put_bytes(place, REQUEST, json.dumps(request, indent=1).encode())
        return set()
    if changed := [key for key in request if key != ALLOWED and earlier.get(key) != request[key]]:
        key = changed[0]
        was, got = (json.dumps(values.get(key))[:80] for values in (earlier, request))
        raise DataError(
            f"data pack: {place.path} holds another pack: {key} is {was} there, got {got}",
            "name an empty folder, or delete this one",
        )
    return set(files)


def _finish(place: Place, splits: Mapping[str, Encoded], packing: Packing, request: Any) -> None:
    """Write the index and names of each split from its parts, then the manifest."""
    described, left_out = {}, []
    for split, data in splits.items():
        names = shard_names(split, data.size, packing.shard_images)
        parts = [read_part(place, name) for name in names]
        try:
            index = np.array([tuple(row) for part in parts for row in part["rows"]], INDEX)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"data pack: a .part.json in {place.path} is damaged: {error}", "pack into an empty folder"
            ) from None
        buffer = io.BytesIO()
        np.save(buffer, index)
        put_bytes(place, f"{split}.index.npy", buffer.getvalue())
        lines = (name.replace("\n", " ") for part in parts for name in part["names"])
        put_bytes(place, f"{split}.names.txt", "".join(f"{line}\n" for line in lines).encode())
        left_out += [line for part in parts for line in part["left_out"]]
        described[split] = {
            "images": len(index),
            "shards": [
                {"name": f"{name}.array_record", "images": len(part["rows"]), "bytes": part["bytes"]}
                for name, part in zip(names, parts, strict=True)
            ],
        }
    manifest = {
        "format": FORMAT,
        "encoding": packing.encoding,
        "splits": described,
        "left_out": left_out,
        "classes": request["classes"],
        "request": request,
    }
    put_bytes(place, MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())


@contextlib.contextmanager
def _locked(place: Place) -> Iterator[None]:
    """Lock a local target for one pack at a time; two packs into a bucket would write equal shards.

    Raises:
      DataError: another pack holds the lock.
    """
    if place.remote:
        yield
        return
    with storage_errors(place.path):
        place.local().mkdir(parents=True, exist_ok=True)
        lock = open_lock(epath.Path(place.path) / ".lock")
    with os.fdopen(lock, "w"):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"data pack: another pack is writing to {place.path}", "wait until it has finished"
            ) from None
        yield
