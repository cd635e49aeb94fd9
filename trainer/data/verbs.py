"""What each verb of ``python -m trainer.data`` does and prints; returns its exit code."""

import dataclasses
import json
from argparse import Namespace
from typing import Any

from trainer.config import DataConfig
from trainer.data.tools.counter import counting
from trainer.errors import TrainError

# Decoders and clients are imported by the verb that needs them, so that a wrong flag is answered at once.


class RequestError(TrainError):
    """The command line is wrong."""


def _config(given: Namespace) -> DataConfig:
    path = given.path.rstrip("/") or "/"
    return DataConfig(name=path, threads=given.threads, stage=given.stage, stage_gib=given.stage_gib)


def pack(given: Namespace) -> int:
    from trainer.data.tools import pack
    from trainer.data.tools.pack_image import Packing

    packing = Packing(
        encoding="raw" if given.raw else "jpeg",
        short_side=given.raw or given.short_side,
        quality=given.quality,
        shard_images=given.shard_images,
        max_bad=given.max_bad,
    )
    config = _config(given)
    with counting("pack") as done:
        manifest = pack.pack(config.name, given.target.rstrip("/"), packing, config, done)
    for line in manifest["left_out"]:
        print(f"left out: {line}")
    for split, found in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in found["shards"])
        print(f"{split}: {found['images']} images, {size / 1e6:,.1f} MB, shards: {len(found['shards'])}")
    print(f"next: --data {given.target}")
    return 0


def verify(given: Namespace) -> int:
    from trainer.data.formats.detect import find
    from trainer.data.tools.verify import verify

    config, counts = _config(given), {"bad": 0, "duplicate": 0, "conflict": 0}
    dataset = find(config.name)
    with counting("verify") as done:
        for finding in verify(dataset, config, done):
            counts[finding.kind] += 1
            print(f"{finding.kind}: {finding.text}", flush=True)
    twice = f"duplicates: {counts['duplicate']}, the same image in two classes: {counts['conflict']}"
    print(f"bad: {counts['bad']}, {twice}")
    return 1 if counts["bad"] else 0


def stats(given: Namespace) -> int:
    from trainer.data.formats.detect import find
    from trainer.data.tools import stats

    config = _config(given)
    dataset = find(config.name)
    found = stats.describe(dataset, config)
    if given.sheet:
        stats.save_sheet(stats.contact_sheet(dataset, given.split, config), given.sheet)
    if given.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{found['path']}: {found['kind']}, {found['classes']} classes")
    for split, row in found["splits"].items():
        print("\n".join(_described(split, row)))
    return 0


def _described(split: str, row: dict[str, Any]) -> list[str]:
    """A split in words."""
    here = "" if row["called"] == split else f" (here {row['called']})"
    lines = [f"{split}{here}: {row['images']} images, {row['damaged']} damaged"]
    if row["images_a_class"]:
        low, middle, high = row["images_a_class"]
        lines.append(f"  a class has {low} to {high} images, median {middle}")
    if row["median_pixels"]:
        width, height = row["median_pixels"]
        lines.append(f"  an image has {width} x {height} pixels and {row['median_bytes']:,} bytes, medians")
    if row["empty_classes"]:
        lines.append(f"  classes without images: {', '.join(row['empty_classes'][:10])}")
    return lines


def stage(given: Namespace) -> int:
    from trainer.data.formats.detect import find
    from trainer.data.staging import shards

    config = _config(given)
    dataset = find(config.name)
    if not dataset.place.remote or not dataset.shards:
        text = f"PATH: must hold shards in a bucket, got {dataset.kind} at {config.name}"
        raise RequestError(text, "data pack makes shards of an image folder")
    sizes = {name: size for of_split in dataset.shards.values() for name, size in of_split.items()}
    files = shards(dataset.place, sizes, config.stage, config.stage_gib)
    for name in sizes:
        files.path(name)
    print(f"next: --data {config.name} --set data.stage={config.stage}")
    return 0


def bench(given: Namespace) -> int:
    from trainer.data.formats.detect import find
    from trainer.data.pipeline import cores
    from trainer.data.tools import bench

    config = dataclasses.replace(_config(given), image_size=given.image_size)
    rates = bench.measure(find(config.name), config, given.seconds)
    said = bench.verdict(rates, given.need, given.what, cores()) if given.need else []
    if given.json:
        found = {"cores": cores(), "need": given.need, "rates": [dataclasses.asdict(r) for r in rates]}
        print(json.dumps(found | {"verdict": said}, indent=1))
        return 0
    print(f"images a second on this host, {config.threads or cores()} threads on {cores()} cores:")
    for rate in rates:
        size = f"{rate.bytes_per_image / 1000:,.0f} KB an image"
        print(f"  {rate.images_per_second:>9,.0f}  {rate.way} ({size})")
    print(*said, sep="\n")
    return 0
