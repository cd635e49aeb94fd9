"""The digits of `layouts` as arrays of 32x32 pixels: CIFAR for Python and binary, IDX, EMNIST."""

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from layouts import CLASSES, examples

NAMES = "\n".join(CLASSES) + "\n\n"  # the archives' files end with an empty line


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, 32, 32, 3] uint8 and labels [n]."""
    decoded = [
        (np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)), label)
        for data, label in examples(split)
    ]
    return np.stack([image for image, _ in decoded]), np.array([label for _, label in decoded])


def planes(images: np.ndarray) -> np.ndarray:
    """Return [n, 3072] uint8: red, green, blue, each by rows."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


class Python2:
    """A writer of what Python 2.7 with NumPy 1 wrote, operation by operation: the archives' own pickles."""

    def __init__(self) -> None:
        self.data = b"\x80\x02"

    def text(self, value: bytes) -> None:
        self.data += (
            b"U" + bytes([len(value)]) + value
            if len(value) < 256
            else b"T" + struct.pack("<I", len(value)) + value
        )

    def number(self, value: int) -> None:
        self.data += b"K" + bytes([value])

    def numbers(self, values: list[int]) -> None:
        self.data += b"]("
        for value in values:
            self.number(value)
        self.data += b"e"

    def texts(self, values: list[bytes]) -> None:
        self.data += b"]("
        for value in values:
            self.text(value)
        self.data += b"e"

    def array(self, values: np.ndarray) -> None:
        """numpy.core.multiarray._reconstruct(ndarray, (0,), "b"), then its state."""
        self.data += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
        self.data += b"(K\x01"
        for side in values.shape:
            self.data += b"M" + struct.pack("<H", side)
        self.data += b"\x86cnumpy\ndtype\nU\x02u1K\0K\x01\x87R"
        self.data += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
        self.text(values.tobytes())
        self.data += b"tb"


def python2(fields: dict) -> bytes:
    writer = Python2()
    writer.data += b"}("
    for key, value in fields.items():
        writer.text(key.encode())
        if isinstance(value, np.ndarray):
            writer.array(value)
        elif isinstance(value, str):
            writer.text(value.encode())
        elif value and isinstance(value[0], int):
            writer.numbers(value)
        else:
            writer.texts([name.encode() for name in value])
    return writer.data + b"u."


def python3(fields: dict, protocol: int = 5) -> bytes:
    return pickle.dumps(fields, protocol)


def python3_bytes(fields: dict) -> bytes:
    """As a copy that was read with ``encoding="bytes"`` is written again."""
    as_bytes = {
        k: [n.encode() for n in v] if isinstance(v, list) and isinstance(v[0], str) else v
        for k, v in fields.items()
    }
    return pickle.dumps({key.encode(): value for key, value in as_bytes.items()}, 2)


def cifar10_python(
    root: Path, dumps: Callable[[dict], bytes] = python2, name: str = "cifar-10-batches-py"
) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    images, labels = arrays("train")
    for number, rows in enumerate(np.array_split(np.arange(96), 5), 1):
        write_batch(folder / f"data_batch_{number}", dumps, images[rows], labels[rows], number)
    write_batch(folder / "test_batch", dumps, *arrays("val"))
    (folder / "batches.meta").write_bytes(dumps({"num_vis": [1], "label_names": CLASSES}))
    (folder / "readme.html").write_text("")
    return root


def write_batch(path: Path, dumps, images: np.ndarray, labels: np.ndarray, number: int = 1) -> None:
    fields = {
        "batch_label": f"training batch {number} of 5",
        "labels": labels.tolist(),
        "data": planes(images),
    }
    fields["filenames"] = [f"x_s_{row:06d}.png" for row in range(len(images))]
    path.write_bytes(dumps(fields))


def cifar100_python(root: Path, dumps: Callable[[dict], bytes] = python2) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "test")):
        images, labels = arrays(split)
        fields = {
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": planes(images),
        }
        (folder / name).write_bytes(dumps(fields))
    (folder / "meta").write_bytes(dumps({"fine_label_names": CLASSES, "coarse_label_names": ["low", "high"]}))
    return root


def cifar10_binary(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    images, labels = arrays("train")
    for number, rows in enumerate(np.array_split(np.arange(96), 5), 1):
        content = np.concatenate([labels[rows, None].astype(np.uint8), planes(images[rows])], axis=1)
        (folder / f"data_batch_{number}.bin").write_bytes(content.tobytes())
    images, labels = arrays("val")
    content = np.concatenate([labels[:, None].astype(np.uint8), planes(images)], axis=1)
    (folder / "test_batch.bin").write_bytes(content.tobytes())
    (folder / "batches.meta.txt").write_text(NAMES)
    return root


def cifar100_binary(root: Path) -> Path:
    root.mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "test")):
        images, labels = arrays(split)
        both = np.stack([labels // 5, labels], axis=1).astype(np.uint8)
        (root / f"{name}.bin").write_bytes(np.concatenate([both, planes(images)], axis=1).tobytes())
    (root / "fine_label_names.txt").write_text(NAMES)
    (root / "coarse_label_names.txt").write_text("low\nhigh\n")
    return root


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def idx(root: Path, mark: str = ".", suffix: str = "") -> Path:
    for split, name in (("train", "train"), ("val", "t10k")):
        images, labels = arrays(split)
        write_idx(root / f"{name}-images{mark}idx3-ubyte{suffix}", images[..., 0])
        write_idx(root / f"{name}-labels{mark}idx1-ubyte{suffix}", labels)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


def emnist(root: Path, *subsets: str) -> Path:
    """EMNIST: transposed images. The labels of letters begin at 1, and each stands for two characters."""
    for subset in subsets:
        first = 1 if subset == "letters" else 0
        for split, name in (("train", "train"), ("val", "test")):
            images, labels = arrays(split)
            write_idx(
                root / f"emnist-{subset}-{name}-images-idx3-ubyte.gz", images[..., 0].transpose(0, 2, 1)
            )
            write_idx(root / f"emnist-{subset}-{name}-labels-idx1-ubyte.gz", labels + first)
        codes = [f"{n + first} {65 + n} {97 + n}" if first else f"{n} {48 + n}" for n in range(10)]
        (root / f"emnist-{subset}-mapping.txt").write_text("\r\n".join(codes) + "\r\n")
    return root
