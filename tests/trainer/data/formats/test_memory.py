"""Files that claim or unpack to more than the memory end with one line."""

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import framed, message

GIB = 2**30


def stats(root: Path, memory: int) -> subprocess.CompletedProcess[str]:
    command = ["prlimit", f"--as={memory}", sys.executable, "-m", "trainer.data", "stats", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def sparse(path: Path, start: bytes, size: int) -> None:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def large_idx(root: Path) -> None:
    for split in ("train", "t10k"):
        sparse(
            root / f"{split}-images-idx3-ubyte",
            struct.pack(">4B3I", 0, 0, 8, 3, 2**13, 2**10, 2**10),
            8 * GIB + 16,
        )
        sparse(root / f"{split}-labels-idx1-ubyte", struct.pack(">4BI", 0, 0, 8, 1, 2**13), 2**13 + 8)


def idx_of_all_memory(root: Path) -> None:
    content = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(2**20))
    (root / "train-images-idx3-ubyte.gz").write_bytes(content)


def bomb(root: Path) -> None:
    """64 MiB in 64 KiB behind a header of 4 bytes."""
    content = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1, 2, 2) + bytes(2**26))
    (root / "train-images-idx3-ubyte.gz").write_bytes(content)


def large_manifest(root: Path) -> None:
    sparse(root / "manifest.json", b"{", 8 * GIB)


def large_label(root: Path) -> None:
    record = framed(message({"image/encoded": b"x", "image/class/label": 10**9}))
    (root / "train-00000-of-00001").write_bytes(record)


def many_classes(root: Path) -> None:
    features = {"featuresDict": {"features": {"label": {"classLabel": {"numClasses": "1000000000000"}}}}}
    (root / "features.json").write_text(json.dumps(features))
    (root / "x-train.array_record-00000-of-00001").write_bytes(b"x")
    (root / "dataset_info.json").write_text(
        json.dumps({"splits": [{"name": "train", "shardLengths": ["1"]}]})
    )


def endless_list(root: Path) -> None:
    sparse(root / "train.csv", b"file,label\n1.jpg,a\n", 8 * GIB)


def list_of_one_cell(root: Path) -> None:
    (root / "train.csv").write_bytes(b'file,label\n1.jpg,"' + b"x" * 2**27 + b'"\n')


def list_of_nothing(root: Path) -> None:
    (root / "labels.csv").write_bytes(b"file,label\n" + b",\n" * 2**20 + b"../1.jpg,a\n")


def pickle_of_all_memory(root: Path) -> None:
    """A batch of CIFAR-10 whose one text claims 2 GiB."""
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (root / name).write_bytes(b"\x80\x02}U\x04dataT\xff\xff\xff\x7f" + bytes(2**20))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (endless_list, "train.csv must have at most 256 MiB, got 8,192"),
        (list_of_one_cell, "train.csv line 2 must be a row of CSV, got field larger than field limit"),
        (list_of_nothing, "labels.csv line 1048578 must hold plain relative names, got '../1.jpg'"),
        (pickle_of_all_memory, "data_batch_1 must be a file of CIFAR, got "),
        (large_idx, "train-images-idx3-ubyte needs more memory than this host has"),
        (idx_of_all_memory, "train-images-idx3-ubyte.gz must fit into the memory of this host"),
        (bomb, "train-images-idx3-ubyte.gz must hold 4 bytes after its header, got 5 or more"),
        (large_manifest, "manifest.json needs more memory than this host has"),
        (large_label, "must have labels of at most 999,999, got 999,999,999"),
        (many_classes, "features.json must have labels of at most 999,999, got 999,999,999,999"),
    ],
)
def test_one_line_says_what_does_not_fit(tmp_path: Path, make, text: str) -> None:
    make(tmp_path)
    done = stats(tmp_path, 4 * GIB)
    assert (done.returncode, done.stdout) == (1, "")
    errors = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert len(errors) == 1, done.stderr
    assert text in errors[0]
