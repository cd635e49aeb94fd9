"""A disk that fails is not called damage: the error names the file and the system's reason."""

import pytest
from disks import small_disk

from trainer.data.formats import packed, tar_index
from trainer.data.storage import Place
from trainer.errors import DataError, StorageError

READERS = {
    "packed": lambda path: packed.open_shard(path, str(path)),
    "tar": lambda path: list(tar_index.files(path, str(path))),
}


@pytest.mark.parametrize("kind", ["packed", "tar"])
def test_a_failing_disk_is_named(kind, tmp_path):
    shard = tmp_path / "shard"
    shard.symlink_to("/proc/self/mem")  # its first bytes cannot be read: an input/output error
    with pytest.raises(StorageError, match=f"data: {shard} does not answer: Input/output error"):
        READERS[kind](shard)


@pytest.mark.parametrize("kind", ["packed", "tar"])
def test_bytes_that_make_no_sense_are_damage(kind, tmp_path):
    shard = tmp_path / "shard"
    shard.write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match=f"data: shard {shard} is damaged: "):
        READERS[kind](shard)


def test_a_full_disk_is_named(tmp_path):
    with small_disk(tmp_path / "stage", 8) as folder:
        (tmp_path / "big").write_bytes(b"x" * 20_000)
        with pytest.raises(StorageError, match=f"data: cannot write {folder}/a: No space left on device"):
            Place(str(folder)).put("a", tmp_path / "big")
