"""Datasets, and the order of examples as a function of (seed, step)."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from trainer.config import DataConfig
from trainer.data import datasets, pipeline
from trainer.data.formats import idx
from trainer.errors import DataError
from trainer.registry import DATASETS

FASHION = Path(idx.DEBIAN_ROOT)


def test_digits_have_every_fifth_example_held_out():
    train, test = (datasets.load(DataConfig(name="digits"), split) for split in ("train", "test"))
    assert (train.size, test.size, train.num_classes) == (1437, 360, 10)
    images, labels = train.gather(np.arange(train.size))
    assert (images.shape, images.dtype, images.min(), images.max()) == ((1437, 8, 8, 1), np.uint8, 0, 255)
    assert sorted(set(labels)) == list(range(10))


@pytest.mark.skipif(not FASHION.exists(), reason="needs the Debian package dataset-fashion-mnist")
def test_fashion_mnist_is_all_there():
    train, test = (datasets.load(DataConfig(name="fashion-mnist"), split) for split in ("train", "test"))
    assert (train.size, test.size, train.image_shape) == (60_000, 10_000, (28, 28, 1))
    images, labels = train.gather(np.arange(60_000))
    assert list(np.bincount(labels)) == [6000] * 10
    assert images.mean() / 255 == pytest.approx(train.mean[0], abs=5e-5)
    assert (images / 255).std() == pytest.approx(train.std[0], abs=5e-5)


def write_idx(path, array, cut=None):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes())[:cut])


def write_fashion(folder, labels=(0, 9, 3), cut=None):
    write_idx(folder / "train-images-idx3-ubyte.gz", np.zeros((3, 28, 28), np.uint8), cut)
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.array(labels, np.uint8))


def load_fashion(folder):
    return datasets.load(DataConfig(name="fashion-mnist", root=str(folder)), "train")


def test_idx_files_are_read(tmp_path):
    write_fashion(tmp_path)
    loaded = load_fashion(tmp_path)
    assert loaded.size == 3
    assert list(loaded.gather(np.array([1, 2]))[1]) == [9, 3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: write_fashion(d, cut=40), "is truncated or damaged"),
        (lambda d: (d / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip"), "is truncated or damaged"),
        (lambda d: (d / "train-images-idx3-ubyte.gz").unlink(), "does not exist\nhint: apt-get install"),
        (
            lambda d: write_idx(d / "train-images-idx3-ubyte.gz", np.zeros(3, np.uint8)),
            "must be an IDX file of 3 dimensions of uint8, got 00000801",
        ),
        (
            lambda d: (d / "train-images-idx3-ubyte.gz").write_bytes(
                gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 3, 28, 28) + b"short")
            ),
            "must hold 2352 bytes after its header, got 5",
        ),
        (
            lambda d: write_fashion(d, labels=(0, 10, 3)),
            "labels of 'fashion-mnist' must be 0..9, got 10 at example 1",
        ),
        (
            lambda d: write_fashion(d, labels=(0, 1)),
            "must hold one label per image, got 3 images and 2 labels",
        ),
    ],
    ids=["truncated", "not gzip", "missing", "other kind", "short", "label out of range", "label missing"],
)
def test_a_damaged_dataset_is_named(tmp_path, damage, message):
    write_fashion(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError) as caught:
        load_fashion(tmp_path)
    assert message in str(caught.value)


def test_an_empty_split_is_refused(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((0, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(0, np.uint8))
    with pytest.raises(DataError, match="split 'train' of 'fashion-mnist' must hold examples, got none"):
        load_fashion(tmp_path)


def test_synthetic_images_depend_on_their_index_alone():
    made = datasets.load(DataConfig(name="synthetic", image_size=16), "train")
    together, labels = made.gather(np.array([5, 1_281_166, 7]))
    alone, _ = made.gather(np.array([1_281_166]))
    np.testing.assert_array_equal(together[1], alone[0])
    assert (together.shape, list(labels)) == ((3, 16, 16, 3), [5, 166, 7])


def stream_of(size=10, batch=4, seed=0):
    return pipeline.TrainStream(size=size, batch=batch, seed=seed)


def positions(stream, steps):
    parts = [stream.examples(step, np.arange(stream.batch)) for step in range(steps)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def test_every_epoch_is_a_permutation_of_its_own():
    epochs, indices = positions(
        stream_of(), steps=5
    )  # 20 examples: two epochs of 10, the third batch in both
    assert list(epochs) == [0] * 10 + [1] * 10
    assert sorted(indices[:10]) == sorted(indices[10:]) == list(range(10))
    assert list(indices[:10]) != list(indices[10:])


def test_the_seed_decides_the_order():
    order = [list(positions(stream_of(size=1000, batch=100, seed=s), 1)[1]) for s in (0, 0, 1)]
    assert order[0] == order[1] != order[2]


def batches(hosts, steps=range(6)):
    """Global batches of 8, put together from what each host reads."""
    data = datasets.load(DataConfig(name="digits"), "train")
    stream = stream_of(size=data.size, batch=8)
    parts = [
        list(pipeline.train_batches(data, stream, rows, steps, DataConfig()))
        for rows in np.split(np.arange(8), hosts)
    ]
    return [{k: np.concatenate([p[k] for p in step]) for k in step[0]} for step in zip(*parts, strict=True)]


@pytest.mark.parametrize("hosts", [2, 8])
def test_any_number_of_hosts_sees_the_same_batches(hosts):
    for one, many in zip(batches(1), batches(hosts), strict=True):
        for name in ("image", "label", "epoch", "index"):
            np.testing.assert_array_equal(one[name], many[name])


def test_resuming_skips_and_repeats_nothing():
    undisturbed, resumed = batches(1), batches(1, range(4, 6))
    assert len(resumed) == 2
    np.testing.assert_array_equal(undisturbed[4]["index"], resumed[0]["index"])
    np.testing.assert_array_equal(undisturbed[5]["image"], resumed[1]["image"])


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_evaluation_counts_every_example_once(hosts):
    data = datasets.load(DataConfig(name="digits"), "test")
    seen = []
    for rows in np.split(np.arange(128), hosts):
        for batch in pipeline.eval_batches(data, 128, rows, DataConfig()):
            assert len(batch["label"]) == 128 // hosts  # the last batch is padded to the same shape
            seen.extend(batch["label"][batch["weight"] > 0])
    assert len(seen) == 360
    assert list(np.bincount(seen)) == list(np.bincount(data.gather(np.arange(360))[1]))


def test_the_table_names_every_dataset():
    assert set(DATASETS) == {"digits", "fashion-mnist", "synthetic"}
