"""The verbs of ``python -m trainer.data``: each prints its result and returns an exit code."""

import dataclasses
import json
import os
import shlex
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from typing import Any

from trainer import paths
from trainer.config import FIELDS, DataConfig
from trainer.errors import ERROR, TrainError
from trainer.runtime.counter import counting
from trainer.runtime.environment import Variable

# Each verb imports the decoders and clients that it needs, so that a wrong flag is reported at once.


class RequestError(TrainError):
    """The command line is wrong."""


def _config(args: Namespace) -> DataConfig:
    path, stage = paths.absolute("PATH", args.path), args.stage and paths.absolute("--stage", args.stage)
    return DataConfig(
        name=path,
        threads=args.threads,
        stage=stage,
        stage_gib=args.stage_gib,
        subset=args.subset,
        val_share=args.val_share,
        val_seed=args.val_seed,
    )


def pack(args: Namespace) -> int:
    """Pack the dataset at ``path`` into ``target``; print what was left out and the size of each split."""
    from trainer.data.tools import pack
    from trainer.data.tools.pack_image import Packing

    packing = Packing(
        encoding="raw" if args.raw else "jpeg",
        short_side=args.raw or args.short_side,
        quality=args.quality,
        shard_images=args.shard_images,
        max_bad=args.max_bad,
    )
    config, target = _config(args), paths.absolute("TARGET", args.target)
    with counting("packing") as advance:
        manifest = pack.pack(config.name, target, packing, config, advance)
    for line in manifest["left_out"]:
        print(f"left out: {line}")
    for split, packed in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in packed["shards"])
        print(f"{split}: {packed['images']} images, {size / 1e6:,.1f} MB, shards: {len(packed['shards'])}")
    print(f"next: {_next(target, manifest['splits']['train']['images'])}")
    return 0


def _next(address: str, images: int = 0, stage: str = "", here: bool = False) -> str:
    """Return the command that trains on a dataset.

    Args:
      images: of the training split; the batch is one that they fill. 0: not known.
      stage: folder on this host that holds its shards.
      here: train on this machine, although the dataset is in a bucket.
    """
    batch: Any = FIELDS["train.batch"].default
    flags = ["--data", address]
    if 0 < images < batch:
        flags += ["--batch", str(2 ** (images.bit_length() - 1))]
    flags += ["--set", f"data.stage={stage}"] if stage else []
    if not os.environ.get(Variable.PROGRAM):
        command = ["resnet-train", "train", "--run-dir", "runs/first", "--arch", "resnet18"]
    elif here or not address.startswith("gs://"):
        command = ["resnet-launch", "local", "--slice", "cpu-1x1", "--arch", "resnet18"]
    else:
        command = ["resnet-launch", "--slice", "v5e-1" if 0 < images < 4 else "v4-8", "--arch", "resnet50"]
        flags += ["--bucket", address.split("/")[2]]
    return shlex.join([*command, *flags])


def verify(args: Namespace) -> int:
    """Print every finding and their counts; 1 where an image is bad."""
    from trainer.data.formats.detect import resolved
    from trainer.data.tools.verify import verify

    config, counts = _config(args), Counter[str]()
    dataset, checked = resolved(config), 0
    with counting("verifying") as advance:

        def count(images: int) -> None:
            nonlocal checked
            checked += images
            advance(images)

        for finding in verify(dataset, config, count):
            counts[finding.kind] += 1
            print(f"{finding.kind}: {finding.text}", flush=True)
    if dataset.unused:
        print(f"not checked: {_names(dataset.unused)}, which training does not use")
    bad, suspect, duplicates, conflicts = (
        counts[kind] for kind in ("bad", "suspect", "duplicate", "conflict")
    )
    copies = f"duplicates: {duplicates}, the same image with different labels: {conflicts}"
    print(f"bad: {bad}, suspect: {suspect}, {copies}, images checked: {checked:,}")
    return 1 if bad else 0


def stats(args: Namespace) -> int:
    """Print counts and sizes, as text or JSON; write a contact sheet where one is asked for."""
    from trainer.data.formats.detect import resolved
    from trainer.data.tools import stats

    config = _config(args)
    dataset = resolved(config)
    summary = stats.describe(dataset, config)
    if args.sheet:
        sheet = paths.absolute("--sheet", args.sheet)
        stats.save_sheet(stats.contact_sheet(dataset, args.split, config), sheet)
    problems = [row["problem"] for row in summary["splits"].values() if row["problem"]]
    if args.json:
        print(json.dumps(summary, indent=1))
        return _report(problems)
    print(f"{summary['path']}: {summary['kind']}, {summary['classes']} classes")
    for split, row in summary["splits"].items():
        print("\n".join(_split_lines(split, row)))
    if summary["unused"]:
        print(f"not used: {_names(summary['unused'])}")
    return _report(problems)


def _report(problems: Sequence[str]) -> int:
    """Print the problems that `stats` met, and return the exit code."""
    for problem in problems:
        print(f"{ERROR}{problem}", file=sys.stderr)
    return 1 if problems else 0


def _names(names: Sequence[str]) -> str:
    """Names from the dataset, for people."""
    from trainer.data.names import printable

    return ", ".join(repr(printable(name)) for name in names)


def _split_lines(split: str, row: dict[str, Any]) -> list[str]:
    """The lines of `stats` for one split."""
    from trainer.data.passed_over import PassedOver

    folder = "" if row["called"] in (split, "") else f" (named {row['called']} here)"
    folder = " (held out of the training split)" if row["held_out"] else folder
    lines = [f"{split}{folder}: {row['images']:,} images, {_damage(row)}"]
    lines += [f"  damaged: {text}" for text in row["bad"]]
    if row["unlabelled"]:
        lines.append(f"  images without a valid label: {row['unlabelled']:,}")
    lines += [f"  passed over: {text}" for text in PassedOver(**row["passed_over"]).texts()]
    if row["images_a_class"]:
        low, middle, high = row["images_a_class"]
        lines.append(f"  images per class: {low} to {high}, median {middle}")
    if row["median_pixels"]:
        width, height = row["median_pixels"]
        lines.append(f"  median image: {width} x {height} pixels, {row['median_bytes']:,} bytes")
    if row["empty_classes"]:
        lines.append(f"  classes without images: {', '.join(row['empty_classes'][:10])}")
    return lines


def _damage(row: dict[str, Any]) -> str:
    """How many of the images that were looked at are damaged."""
    checked, damaged = row["checked"], row["damaged"]
    if not checked:
        return "not checked"
    if checked == row["images"]:
        return f"{damaged} damaged"
    return (
        f"{checked:,} of them checked: {damaged} damaged ({damaged / checked:.1%}); "
        "`data verify` checks all of them"
    )


def stage(args: Namespace) -> int:
    """Fetch every shard of a dataset in a bucket, and wait for the last."""
    from trainer.data.formats.detect import resolved
    from trainer.data.staging import open_shards

    config = _config(args)
    dataset = resolved(config)
    if not dataset.place.remote or not dataset.shards:
        text = f"PATH: must hold shards in a bucket, got {dataset.kind} at {config.name}"
        raise RequestError(text, "`data pack` turns an image folder into shards")
    sizes = {name: size for shards in dataset.shards.values() for name, size in shards.items()}
    files = open_shards(dataset.place, sizes, config.stage, config.stage_gib)
    for name in sizes:
        files.path(name)
    print(f"next: {_next(config.name, stage=config.stage, here=True)}")
    return 0


def bench(args: Namespace) -> int:
    """Print the images/s of each way of storing the data, and whether they suffice for ``--need``."""
    from trainer.data.formats.detect import resolved
    from trainer.data.pipeline import cores
    from trainer.data.tools import bench

    config = dataclasses.replace(_config(args), image_size=args.image_size)
    rates = bench.measure(resolved(config), config, args.seconds)
    comparison = bench.compare(rates, args.need, args.consumer, cores()) if args.need else []
    if args.json:
        rows = [dataclasses.asdict(rate) for rate in rates]
        print(
            json.dumps({"cores": cores(), "need": args.need, "rates": rows, "verdict": comparison}, indent=1)
        )
        return 0
    print(f"images/s on this host, threads: {config.threads or cores()}, cores: {cores()}")
    for rate in rates:
        size = f"{rate.bytes_per_image / 1000:,.0f} KB per image"
        print(f"  {rate.images_per_second:>9,.0f}  {rate.way} ({size})")
    print(*comparison, sep="\n")
    return 0
