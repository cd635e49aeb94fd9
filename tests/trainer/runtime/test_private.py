"""What is trusted lies in folders of this user that others cannot write to."""

import os
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.runtime.private import cache_folder, others_write, private_folder

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, which needs root")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_folder_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert private_folder(path, "data.stage") == path
    assert mode(path) == 0o700
    assert private_folder(path, "data.stage") == path


@pytest.mark.parametrize("shared", [0o1777, 0o775])
def test_below_a_shared_folder_each_user_has_an_own_one(tmp_path: Path, shared: int) -> None:
    tmp_path.chmod(shared)
    own = private_folder(tmp_path, "data.stage")
    assert own == tmp_path / f"resnet-{os.geteuid()}"
    assert mode(own) == 0o700
    assert private_folder(tmp_path, "data.stage") == own


def make_link(path: Path) -> None:
    (path / "elsewhere").mkdir()
    path.chmod(0o1777)
    (path / f"resnet-{os.geteuid()}").symlink_to(path / "elsewhere")


def open_own(path: Path) -> None:
    path.chmod(0o1777)
    own = path / f"resnet-{os.geteuid()}"
    own.mkdir()
    own.chmod(0o777)


def foreign_own(path: Path) -> None:
    path.chmod(0o1777)
    own = path / f"resnet-{os.geteuid()}"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)


def foreign_folder(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


@root
@pytest.mark.parametrize("prepare", [make_link, open_own, foreign_own, foreign_folder])
def test_what_someone_else_put_there_is_refused(tmp_path: Path, prepare) -> None:
    path = tmp_path / "stage"
    path.mkdir()
    prepare(path)
    with pytest.raises(ConfigError, match=r"data.stage: \S+ must be a folder of this user that others"):
        private_folder(path, "data.stage")


@root
def test_a_link_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    assert private_folder(tmp_path / "link", "data.stage") == tmp_path / "link"
    os.lchown(tmp_path / "link", NOBODY, NOBODY)
    with pytest.raises(ConfigError, match=r"link must be a folder of this user .*, got a link of user 65534"):
        private_folder(tmp_path / "link", "data.stage")


def test_the_cache_is_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESNET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder("data") == Path("/home/ada/.cache/resnet-launch/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder("data") == Path("/cache/resnet-launch/data")
    monkeypatch.setenv("RESNET_CACHE", "/disk")
    assert cache_folder("data") == Path("/disk/data")


@root
def test_a_file_that_others_may_change_is_known(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch(0o644)
    assert not others_write(file)
    file.chmod(0o664)
    assert others_write(file)
    file.chmod(0o644)
    os.chown(file, NOBODY, NOBODY)
    assert others_write(file)


@pytest.mark.parametrize("below", ["stage", "a/b/stage", ""])
def test_no_folder_above_lets_everyone_rename_it(below: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    tmp_path.chmod(0o777)
    expected = (
        r"must not lie in a folder in which everyone can rename it, got \S+ with mode 777\nhint: chmod \+t "
    )
    with pytest.raises(ConfigError, match=expected):
        private_folder(tmp_path / below, "data.stage")
    assert not [*tmp_path.rglob("stage")]
    assert not [*tmp_path.rglob("resnet-*")]
    tmp_path.chmod(0o1777)
    assert mode(private_folder(tmp_path / below, "data.stage")) == 0o700


def test_the_folders_of_a_pod_are_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    tmp_path.chmod(0o777)
    assert mode(private_folder(tmp_path / "stage", "data.stage")) == 0o700
