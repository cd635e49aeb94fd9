"""One value of resnet-launch.yaml is set; comments, order and every other byte stay."""

import os
import re
from pathlib import Path

import disks
import pytest

from launcher.errors import ActionError, RequestError
from launcher.request import config_file, sources

IMAGE = "r.example:5000/team/resnet-launch:0.1.0-tpu@sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "image: IMAGE\n"),
        ("# our team\nbucket: b-1  # ours\n", "# our team\nbucket: b-1  # ours\nimage: IMAGE\n"),
        ("bucket: b-1", "bucket: b-1\nimage: IMAGE\n"),
        ("image: old:1  # why\nbucket: b-1\n", "image: IMAGE  # why\nbucket: b-1\n"),
        ('image:   "old:1"\n', "image:   IMAGE\n"),
        ("image:\nbucket: b-1\n", "image: IMAGE\nbucket: b-1\n"),
        ("image: old:1", "image: IMAGE"),
        ("bucket: b-1\r\nimage: old:1\r\n", "bucket: b-1\r\nimage: IMAGE\r\n"),
        ("bucket: b-1\r\n", "bucket: b-1\r\nimage: IMAGE\r\n"),
        ("{image: old:1, bucket: b-1}\n", "{image: IMAGE, bucket: b-1}\n"),
        ("env:\n- image=1\n", "env:\n- image=1\nimage: IMAGE\n"),
        ("# only a comment", "# only a comment\nimage: IMAGE\n"),
        ("---\nimage: >-\n  old:1\nbucket: b-1\n", None),
    ],
)
def test_the_value_is_set(tmp_path: Path, before: str, after: str | None) -> None:
    path = tmp_path / "resnet-launch.yaml"
    path.write_bytes(before.encode())
    config_file.set_value(path, "image", IMAGE)
    if after is not None:
        assert path.read_bytes().decode() == after.replace("IMAGE", IMAGE)
    assert sources.file(path).values["image"] == IMAGE
    assert [entry.name for entry in tmp_path.iterdir()] == ["resnet-launch.yaml"]


@pytest.mark.parametrize(
    "before",
    [
        "{bucket: b-1}\n",
        "bucket: b-1\n...\n",
        "image: &i old:1\nname: *i\n",
        "- a list\n",
        "  bucket: b-1\n  queue: q\n",
        "image: old:1\nimage: old:2\n",
        "a: [\n",
        "image: [a, b]\nname: x: y\n",
    ],
)
def test_a_file_in_which_it_cannot_be_set_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "resnet-launch.yaml"
    path.write_text(before)
    with pytest.raises(RequestError, match=re.escape(str(path))):
        config_file.set_value(path, "image", IMAGE)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["resnet-launch.yaml"]


def test_a_new_file_and_the_mode_of_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "resnet-launch.yaml"
    config_file.set_value(path, "image", IMAGE)
    assert path.read_text() == f"image: {IMAGE}\n"
    path.chmod(0o600)
    config_file.set_value(path, "image", "r.example/x:2")
    assert path.read_text() == "image: r.example/x:2\n"
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team/own.yaml").write_text("bucket: b-1\n")
    link = tmp_path / "resnet-launch.yaml"
    link.symlink_to("team/own.yaml")
    config_file.set_value(link, "image", "r.example/x:2")
    assert os.readlink(link) == "team/own.yaml"
    assert (tmp_path / "team/own.yaml").read_text() == "bucket: b-1\nimage: r.example/x:2\n"


def test_a_disk_that_is_full_or_read_only_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "resnet-launch.yaml"
    path.parent.mkdir()
    path.write_text("bucket: b-1\n")
    with (
        disks.read_only(path.parent),
        pytest.raises(ActionError, match=r"cannot write .*: Read-only file"),
    ):
        config_file.set_value(path, "image", IMAGE)
    assert path.read_text() == "bucket: b-1\n"


def test_the_file_is_looked_at_before_the_work(tmp_path: Path) -> None:
    assert config_file.nearest(tmp_path) == tmp_path / "resnet-launch.yaml"
    (tmp_path / "resnet-launch.yaml").write_text("imgae: x\n")
    with pytest.raises(RequestError, match="must have known keys, got 'imgae'"):
        config_file.nearest(tmp_path)
