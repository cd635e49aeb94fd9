"""Staging writes nowhere but into its folder, and uses no copy that differs from its object."""

from pathlib import Path

import pytest
from local_bucket import serving

from trainer.data.staging import open_shards
from trainer.data.storage import Place
from trainer.errors import DataError

PHOTOS = "gs://b/photos"


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (PHOTOS, "/etc/cron.d/x"),
        (PHOTOS, "../../x"),
        (PHOTOS, "a/../../../x"),
        (PHOTOS, ".bashrc"),
        ("gs://b/../../photos", "x"),
        ("gs://../photos", "x"),
        ("gs://b//photos", "x"),
    ],
)
def test_a_name_that_leads_out_of_the_stage_is_refused(tmp_path: Path, place: str, name: str) -> None:
    with pytest.raises(DataError, match="must hold plain relative names"):
        open_shards(Place(place), {name: 1}, str(tmp_path / "stage"), 1)
    assert tree(tmp_path) <= {"stage"}


def test_a_copy_that_was_changed_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"photos/x.tar": b"a" * 1000}) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        path = open_shards(Place(PHOTOS), {"x.tar": 1000}, str(tmp_path), 1).path("x.tar")
        assert path.read_bytes() == b"a" * 1000
        fetched = path.stat().st_mtime_ns
        assert open_shards(Place(PHOTOS), {"x.tar": 1000}, str(tmp_path), 1).path("x.tar") == path
        assert path.stat().st_mtime_ns == fetched
        path.write_bytes(b"b" * 1000)
        again = open_shards(Place(PHOTOS), {"x.tar": 1000}, str(tmp_path), 1).path("x.tar")
        assert again.read_bytes() == b"a" * 1000


@pytest.mark.parametrize("size", [999, 1001])
def test_an_object_of_another_size_than_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with serving({"photos/x.tar": b"a" * 1000}) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        with pytest.raises(DataError, match=rf"photos/x.tar must have {size} bytes, got 1000\nhint: copy"):
            open_shards(Place(PHOTOS), {"x.tar": size}, str(tmp_path), 1).path("x.tar")


def test_the_stage_is_a_folder_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    with serving({"photos/x.tar": b"a"}) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        path = open_shards(Place(PHOTOS), {"x.tar": 1}, "", 1).path("x.tar")
    assert path == tmp_path / "data" / "b" / "photos" / "x.tar"
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
