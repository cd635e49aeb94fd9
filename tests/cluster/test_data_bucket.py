"""Datasets in a bucket: read, packed, staged; with 503s, broken and slow connections."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import Faults
from layouts import CLASSES, LAYOUTS
from testcluster import Cluster

from trainer.config import DataConfig
from trainer.data import datasets, staging
from trainer.data.__main__ import main
from trainer.data.storage import Place
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing
from trainer.errors import DataError, StorageError

SMALL: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0}
MIB = 2**20


@pytest.fixture
def bucket(control_plane: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in control_plane.bucket.environment().items():
        monkeypatch.setenv(name, value)
    return control_plane.bucket.create("datasets")


@pytest.fixture
def faults(control_plane: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A proxy in front of the bucket that injects faults."""
    control_plane.bucket.create("datasets")
    with Faults(control_plane.bucket.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield proxy


def upload(root: Path, address: str) -> None:
    place = Place(address)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            place.blob(path.relative_to(root).as_posix()).upload_from_filename(str(path))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_read_from_a_bucket(bucket: str, tmp_path: Path, layout: str) -> None:
    root = LAYOUTS[layout](tmp_path / layout)
    upload(root, f"{bucket}/{layout}")
    config = DataConfig(name=f"{bucket}/{layout}", stage=str(tmp_path / "stage"), **SMALL)
    train, test = datasets.load_both(config)
    assert (train.size, test.size, list(train.class_names)) == (96, 32, CLASSES)
    here = datasets.load(DataConfig(name=str(root), **SMALL), "train")
    for actual, expected in zip(train.gather(np.arange(96)), here.gather(np.arange(96)), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_images_in_a_bucket_are_read_many_at_a_time(bucket: str, faults: Faults, tmp_path: Path) -> None:
    root = LAYOUTS["folder"](tmp_path / "folder")
    upload(root, f"{bucket}/many-images")
    here = datasets.load(DataConfig(name=str(root), **SMALL), "train")
    faults.slow_down(seconds=0.3)
    dataset = datasets.load(DataConfig(name=f"{bucket}/many-images", **SMALL), "train")
    begun = time.monotonic()
    images, labels = dataset.gather(np.arange(64))
    assert time.monotonic() - begun < 0.25 * 64 * 0.3  # a quarter of the time for one request after the other
    for read, expected in zip((images, labels), here.gather(np.arange(64)), strict=True):
        np.testing.assert_array_equal(read, expected)


def test_a_pack_into_a_bucket_is_the_same_and_goes_on(bucket: str, tmp_path: Path) -> None:
    root = LAYOUTS["folder"](tmp_path / "folder")
    packing = Packing(shard_images=20)
    stopped = 0

    def stop_in_the_middle(more: int) -> None:
        nonlocal stopped
        stopped += more
        if stopped == 70:
            raise KeyboardInterrupt

    address = f"{bucket}/packed"
    with pytest.raises(KeyboardInterrupt):
        pack(str(root), address, packing, DataConfig(threads=1), stop_in_the_middle)
    assert not Place(address).exists("manifest.json")
    pack(str(root), address, packing, DataConfig(), lambda more: None)
    pack(str(root), str(tmp_path / "here"), packing, DataConfig(), lambda more: None)
    here = Place(str(tmp_path / "here"))
    names = [name for name in here.files().sizes if name != ".lock"]
    assert list(Place(address).files().sizes) == names
    for name in names:
        assert Place(address).read(name) == here.read(name), name


@pytest.fixture
def shard(bucket: str) -> tuple[Place, dict[str, int], bytes]:
    """An object of 80 MiB: three parts of a download."""
    content = np.random.default_rng(0).bytes(80 * MIB)
    place = Place(f"{bucket}/staged")
    place.blob("train-000000.tar").upload_from_string(content)
    return place, {"train-000000.tar": len(content)}, content


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f.answer_503(3),
        lambda f: f.reset_after(5 * MIB, times=3),
        lambda f: f.stall_after(5 * MIB, times=2, seconds=8),
    ],
    ids=["503", "reset", "stall"],
)
def test_a_shard_comes_whole_through_faults(
    shard: tuple[Place, dict[str, int], bytes], faults: Faults, tmp_path: Path, spoil: Any
) -> None:
    place, sizes, content = shard
    spoil(faults)
    files = staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=1, timeout_seconds=2)
    assert files.path("train-000000.tar").read_bytes() == content
    assert faults.spoilt > 0
    # A local copy of an unchanged object is not fetched again.
    served = faults.served_bytes
    again = staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=1)
    assert again.path("train-000000.tar").read_bytes() == content
    assert faults.served_bytes - served < MIB
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_changed_object_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    place = Place(f"{bucket}/changing")
    for content in (b"a" * 1000, b"b" * 1000):
        place.blob("x.tar").upload_from_string(content)
        files = staging.open_shards(place, {"x.tar": 1000}, str(tmp_path), limit_gib=1)
        assert files.path("x.tar").read_bytes() == content


def test_two_processes_of_a_machine_fetch_a_shard_once(
    shard: tuple[Place, dict[str, int], bytes], faults: Faults, tmp_path: Path
) -> None:
    place, sizes, content = shard
    both = [staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=1) for _ in range(2)]
    assert [files.path("train-000000.tar").read_bytes() == content for files in both] == [True, True]
    assert len(content) <= faults.served_bytes < 1.1 * len(content)


def test_a_shard_that_is_asked_for_comes_first(bucket: str, faults: Faults, tmp_path: Path) -> None:
    place = Place(f"{bucket}/many")
    sizes = {f"{number:02d}.tar": MIB for number in range(24)}
    for name in sizes:
        place.blob(name).upload_from_string(name.encode() * (MIB // 6))
    faults.slow_down(seconds=0.3)
    sizes = dict.fromkeys(sizes, MIB // 6 * 6)
    files = staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=1)
    assert files.path("23.tar").read_bytes()[:6] == b"23.tar"
    assert len(list(tmp_path.rglob("*.tar"))) < 12
    for name in sizes:
        files.path(name)
    assert len(list(tmp_path.rglob("*.tar"))) == 24


def test_what_does_not_fit_is_refused_before_anything_is_fetched(
    shard: tuple[Place, dict[str, int], bytes], faults: Faults, tmp_path: Path
) -> None:
    place, sizes, _ = shard
    with pytest.raises(DataError, match=r"data.stage_gib: the shards of gs://\S+ need 0.0781 GiB, got 0.05"):
        staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=0.05)
    assert faults.served_bytes == 0


def test_a_missing_bucket_is_named_and_cannot_succeed(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "gs://no-such-bucket/x"]) == 1
    stderr = capsys.readouterr().err
    assert "error: data: cannot use gs://no-such-bucket/x: NotFound" in stderr
    assert "hint: gcloud storage buckets list shows the buckets; --data names one that exists" in stderr


def test_a_bucket_that_refuses_is_named(faults: Faults) -> None:
    faults.answer(403, times=100)
    with pytest.raises(DataError, match=r"cannot use gs://datasets/x: Forbidden"):
        datasets.load(DataConfig(name="gs://datasets/x"), "train")


def test_a_bucket_that_stays_away_may_be_tried_again(
    shard: tuple[Place, dict[str, int], bytes],
    faults: Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, sizes, _ = shard
    monkeypatch.setattr(staging, "ATTEMPTS", 2)
    faults.reset_after(MIB, times=10_000)
    before = threading.active_count()
    files = staging.open_shards(Place(place.path), sizes, str(tmp_path), limit_gib=1, timeout_seconds=2)
    with pytest.raises(StorageError, match=r"data: gs://datasets/staged/train-000000.tar does not answer"):
        files.path("train-000000.tar")
    assert list(tmp_path.rglob("*.tar")) == []
    assert threading.active_count() < before + 30
