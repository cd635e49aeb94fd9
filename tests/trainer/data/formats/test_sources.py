"""Every layout: detected by its path, with the same images and labels; damage is named."""

import json
import struct

import numpy as np
import pytest
from layouts import CLASSES, examples, folder, make_all

from trainer import recipes
from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.formats.detect import find
from trainer.data.images.crop import DRAWS
from trainer.data.source import DAMAGED
from trainer.errors import DataError

SMALL = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0}
KINDS = {
    "folder": "folder",
    "tar": "tar",
    "tfrecord": "tfrecord",
    "tfds": "tfds",
    "packed": "packed",
    "raw": "packed",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Layout -> its folder."""
    return make_all(tmp_path_factory.mktemp("layouts"))


@pytest.mark.parametrize("layout", KINDS)
def test_a_layout_is_detected_and_read(made, layout):
    assert find(str(made[layout])).kind == KINDS[layout]
    train, test = datasets.load_both(DataConfig(name=str(made[layout]), **SMALL))
    assert (train.size, test.size, list(train.class_names)) == (96, 32, CLASSES)
    images, labels = train.gather(np.arange(96))
    assert list(labels) == [label for _, label in examples("train")]
    expected, _ = datasets.load(DataConfig(name=str(made["folder"]), **SMALL), "train").gather(np.arange(96))
    # A JPEG of quality 100 loses the lowest bits of a pixel; the other layouts lose nothing.
    assert np.abs(images.astype(int) - expected).max() <= (6 if layout == "packed" else 0)
    assert images.shape == (96, 32, 32, 3)
    assert images.max() == 255


def test_the_pixels_are_those_of_the_file(made):
    images, _ = datasets.load(DataConfig(name=str(made["folder"]), **SMALL), "train").gather(np.array([0]))
    digits = datasets.load(DataConfig(name="digits"), "train")
    labels = digits.gather(np.arange(96))[1]
    first = digits.gather(np.flatnonzero(labels == 0)[:1])[0]  # [1, 8, 8, 1], each pixel four by four here
    np.testing.assert_array_equal(images[0, ::4, ::4, 0], first[0, :, :, 0])
    np.testing.assert_array_equal(images[0, 3::4, 3::4, 2], first[0, :, :, 0])


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_images_are_scaled_to_minus_one_to_one_where_it_is_asked(name):
    config = DataConfig(name=name, image_size=8, normalize="symmetric")
    for source in (*datasets.load_both(config), datasets.load(config, "test")):
        images = source.gather(np.arange(4))[0] / 255
        scaled = (images - np.array(source.mean)) / np.array(source.std)
        np.testing.assert_allclose(scaled, 2 * images - 1)
        assert source.record().mean == (0.5,) * source.image_shape[2]


def test_images_at_a_path_are_trained_as_imagenet_is():
    assert recipes.default("/data/imagenet") == recipes.default("gs://bucket/imagenet") == "classic-90"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "must be a dataset, got nothing there"),
        (
            ["readme.txt"],
            "tar shards, got readme.txt\nhint: train/CLASS/IMAGE.jpg is the simplest layout; docs/",
        ),
        (
            ["cifar-10-python.tar.gz"],
            "got cifar-10-python.tar.gz\nhint: unpack cifar-10-python.tar.gz and name",
        ),
        (
            ["1.jpg", "2.jpg"],
            "got 1.jpg, 2.jpg\nhint: images need labels: a folder per class, train/CLASS/IM",
        ),
        (["CUB/x/a/1.jpg"], "got CUB/\nhint: name the folder within: "),
        (
            ["train/a/1.jpg", "test/1.jpg"],
            "the classes are the folders in train/; --set data.val_share=0.1 ev",
        ),
        (["pack.json"], "is not finished\nhint: run the same `data pack` command again to finish it"),
        (
            ["train.index.npy", "train-00000-of-00001.array_record"],
            "is a packed dataset without its manifest.json\nhint:",
        ),
        (["train-00000-of-00003", "train-00002-of-00003"], "must be 3 shards, got 2: number 1 is missing"),
        (["x-train.array_record-00000-of-00002"], "must be 2 shards, got 1: number 1 is missing"),
        (
            ["train/a/1.jpg"],
            "must hold a split 'test', got train\nhint: its folders and shards are named val, valid, valid",
        ),
        (["train/1.jpg", "val/a/1.jpg"], "must lie in the folder of a class, got '1.jpg'"),
        (["train/a/1.jpg", "val/b/1.jpg"], "val/b/1.jpg must lie in the folder of a class, got 'b'"),
        (
            ["train/a/1.svg", "val/a/1.jpg"],
            "train must hold examples, got none; images that are not read: 1 (.svg",
        ),
    ],
)
def test_the_reason_why_a_folder_is_no_dataset_is_named(tmp_path, files, message):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        datasets.load_both(DataConfig(name=str(tmp_path)))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_is_no_dataset(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"x.jpg must be a folder, got a file\nhint: it may hold an image folder"
    ):
        datasets.load_both(DataConfig(name=str(tmp_path / "x.jpg")))


def test_an_image_that_vanishes_is_named(tmp_path):
    root = folder(tmp_path)
    train = datasets.load(DataConfig(name=str(root), **SMALL), "train")
    (root / "train" / "digit 0" / "0003.png").unlink()
    with pytest.raises(DataError, match=r"cannot use \S+/train/digit 0/0003.png: No such file"):
        train.gather(np.arange(8))


def test_a_gap_in_the_numbers_of_tar_shards_is_a_warning(tmp_path, made, capfd):
    for number in (0, 1, 3):
        (tmp_path / f"train-{number:06d}.tar").write_bytes((made["tar"] / "train-000000.tar").read_bytes())
    assert find(str(tmp_path)).kind == "tar"
    assert f"data: shard 2 is missing after {tmp_path}/train-000001.tar" in capfd.readouterr().err


def write_idx(root, labels):
    for split in ("train", "t10k"):
        for name, array in (
            ("images-idx3", np.zeros((3, 28, 28), np.uint8)),
            ("labels-idx1", np.array(labels, np.uint8)),
        ):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (root / f"{split}-{name}-ubyte").write_bytes(header + array.tobytes())


def test_idx_is_detected_by_its_path(tmp_path):
    write_idx(tmp_path, [2, 0, 1])
    assert find(str(tmp_path)).kind == "idx"
    train, test = datasets.load_both(DataConfig(name=str(tmp_path)))
    assert (train.size, test.size, train.image_shape, train.num_classes) == (3, 3, (28, 28, 1), 3)
    assert list(train.gather(np.arange(3))[1]) == [2, 0, 1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: (d / "t10k-labels-idx1-ubyte").unlink(),
            "t10k-labels-idx1-ubyte.gz does not exist\nhint: tr",
        ),
        (
            lambda d: write_idx(d, [1, 2]),
            "train of .* must hold one label per image, got 3 images and 2 labels",
        ),
        (lambda d: cut(d / "train-images-idx3-ubyte", 900), "must hold 2352 bytes after its header, got 884"),
    ],
    ids=["missing", "fewer labels", "cut"],
)
def test_damaged_idx_is_named(tmp_path, damage, message):
    write_idx(tmp_path, [2, 0, 1])
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        datasets.load_both(DataConfig(name=str(tmp_path)))


def test_classes_that_training_does_not_know_are_refused(tmp_path, made):
    root = tmp_path / "tar"
    root.mkdir()
    for name in (
        "train-000000.tar",
        "val-000001.tar",
    ):  # digits 0 to 5 of the first half, up to 9 of the second
        (root / name).write_bytes((made["tar"] / name).read_bytes())
    with pytest.raises(DataError, match="must have the 6 classes of training, got 10"):
        datasets.load_both(DataConfig(name=str(root), **SMALL))


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def manifest(root, change):
    described = json.loads((root / "manifest.json").read_text())
    change(described)
    (root / "manifest.json").write_text(json.dumps(described))


def first_shard(root, **changes):
    manifest(root, lambda m: m["splits"]["train"]["shards"][0].update(changes))


def claim_rows(root, rows):
    file = root / "train.index.npy"
    content = file.read_bytes().replace(b"(96,)", f"({rows},)".encode())
    file.write_bytes(content[:8] + (len(content) - 96 * 16 - 10).to_bytes(2, "little") + content[10:])


def swap_sides(root):
    index = np.load(root / "train.index.npy")
    index["height"] = index["height"] + 1
    np.save(root / "train.index.npy", index)


def shard_lengths(root, lengths):
    described = {"splits": [{"name": "train", "shardLengths": lengths}]}
    (root / "dataset_info.json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("layout", "damage", "message"),
    [
        ("tfrecord", lambda d: cut(d / "train-00001-of-00002", 3000), "train-00001-of-00002 ends early"),
        ("tfrecord", lambda d: flip(d / "train-00001-of-00002", 8), "-00001-of-00002 is damaged at byte 0"),
        ("tfrecord", lambda d: cut(d / "train-00001-of-00002", 0), "-00001-of-00002 is empty\nhint: copy it"),
        ("tar", lambda d: cut(d / "train-000001.tar", 5000), "train-000001.tar is damaged: unexpected end"),
        ("tar", lambda d: cut(d / "train-000001.tar", 0), "train-000001.tar is damaged: empty file"),
        (
            "tar",
            lambda d: (d / "classes.txt").write_bytes(b"\xff"),
            "classes.txt must be UTF-8 with one name per line",
        ),
        ("tfds", lambda d: shard_lengths(d, ["x", "y"]), "dataset_info.json is damaged: invalid literal"),
        ("tfds", lambda d: shard_lengths(d, ["7", "9"]), "-00000-of-00002 must hold 7 records, got 48"),
        (
            "tfds",
            lambda d: cut(d / "digits-train.array_record-00000-of-00002", 100),
            "-00000-of-00002 is damaged: its end is missing",
        ),
        (
            "packed",
            lambda d: cut(d / "train-00000-of-00003.array_record", 100),
            "-00000-of-00003.array_record",
        ),
        (
            "packed",
            lambda d: (d / "train-00000-of-00003.array_record").unlink(),
            "array_record does not exist",
        ),
        ("packed", lambda d: cut(d / "train.index.npy", 200), "train.index.npy is damaged"),
        ("packed", lambda d: cut(d / "manifest.json", 20), "manifest.json is damaged"),
        (
            "packed",
            lambda d: manifest(d, lambda m: m["splits"]["train"].pop("shards")),
            "manifest.json is damaged: KeyError",
        ),
        ("packed", lambda d: manifest(d, lambda m: m.update(splits="x")), "manifest.json is damaged: Attr"),
        ("packed", lambda d: (d / "train.index.npy").unlink(), "train.index.npy: No such file"),
        ("packed", lambda d: first_shard(d, name="/etc/passwd"), "manifest.json must hold plain relative"),
        ("packed", lambda d: first_shard(d, name="../x"), "manifest.json must hold plain relative names"),
        ("packed", lambda d: first_shard(d, name=["x"]), r"must hold plain relative names, got \['x'\]"),
        ("packed", lambda d: first_shard(d, images=-1), "damaged: ValueError.*a shard of -1 images"),
        ("packed", lambda d: first_shard(d, images=1.5), "damaged: ValueError.*a shard of 1.5 images"),
        ("packed", lambda d: first_shard(d, images=10**18), "damaged: ValueError.*a shard of 1000"),
        (
            "packed",
            lambda d: manifest(d, lambda m: m["splits"].update({"../x": m["splits"]["train"]})),
            "manifest.json must hold plain relative names, got '../x'",
        ),
        ("packed", lambda d: manifest(d, lambda m: m.update(encoding="gif")), "encoding 'gif'"),
        ("packed", lambda d: manifest(d, lambda m: m.update(classes=[1])), "classes must be a list of names"),
        (
            "packed",
            lambda d: (d / "manifest.json").write_text("[" * 100_000),
            "manifest.json is damaged: RecursionError",
        ),
        ("packed", lambda d: claim_rows(d, 10**12), "train.index.npy must hold 96 rows, got"),
        ("raw", lambda d: swap_sides(d), r"must hold \d+ x \d+ pixels, got 3072 bytes"),
    ],
)
def test_a_damaged_shard_is_named(tmp_path, made, layout, damage, message):
    for path in made[layout].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        datasets.load(DataConfig(name=str(tmp_path), bad_images=0, **SMALL), "train").gather(np.arange(96))


def test_damaged_images_are_named_and_limited(tmp_path, capfd):
    root = folder(tmp_path)
    names = sorted((root / "train").glob("*/*.png"))
    cut(names[3], 60)
    names[7].write_bytes(b"")
    tolerant = datasets.load(DataConfig(name=str(root), bad_images=2, **SMALL), "train")
    images, labels = tolerant.gather(np.arange(96), np.full((96, DRAWS), 0.5))
    assert (images[3].max(), images[7].max(), images[4].max()) == (0, 0, 255)
    assert list(labels) == [label for _, label in examples("train")]
    _, evaluated = tolerant.gather(np.arange(96))  # each is named once
    assert (evaluated != labels).nonzero()[0].tolist() == [3, 7]
    assert evaluated[[3, 7]].tolist() == [DAMAGED, DAMAGED]
    warnings = capfd.readouterr().err
    assert warnings.count("warning") == 2
    assert f"{names[7]}: it must be an image (JPEG, PNG, WebP, GIF, BMP, " in warnings
    assert "AVIF or PNM), got an empty file; a black image replaces it" in warnings
    strict = datasets.load(DataConfig(name=str(root), bad_images=1, **SMALL), "train")
    with pytest.raises(DataError, match=r"(?s)0007.png: .* \(damaged images: 2, data.bad_images is 1\)"):
        strict.gather(np.arange(96))
