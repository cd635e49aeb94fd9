"""Whose resnet-launch.yaml is used: one's own or root's, as git decides for its repositories."""

import os
import subprocess

import pytest

from launcher.cli import main
from launcher.errors import RequestError
from launcher.request.discovery import find_file

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file to somebody else"
)
STRANGER = 12345


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder `above/work` with a resnet-launch.yaml above it; the home directory is elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "above" / "work"
    folder.mkdir(parents=True)
    (tmp_path / "above" / "resnet-launch.yaml").write_text("image: evil/image:1\n")
    return folder


def refused(folder):
    with pytest.raises(RequestError) as caught:
        find_file(folder)
    [(message, hint)] = caught.value.messages()
    assert message.startswith(f"{folder.parent / 'resnet-launch.yaml'}: must belong to you or root")
    return message, hint


def test_one_s_own_file_above(work):
    assert find_file(work) == work.parent / "resnet-launch.yaml"


@as_root
def test_a_stranger_s_file(work):
    os.chown(work.parent / "resnet-launch.yaml", STRANGER, STRANGER)
    message, hint = refused(work)
    assert message.endswith(f"it belongs to user {STRANGER}")
    copy = hint.removeprefix("look at it, then copy it: ")
    subprocess.run(copy, shell=True, check=True)
    assert find_file(work) == work / "resnet-launch.yaml"


@as_root
def test_a_stranger_s_link_to_one_s_own_file(work):
    (work.parent / "mine.yaml").write_text("image: old/image:1\n")
    (work.parent / "resnet-launch.yaml").unlink()
    (work.parent / "resnet-launch.yaml").symlink_to("mine.yaml")
    assert find_file(work) == work.parent / "resnet-launch.yaml"
    os.lchown(work.parent / "resnet-launch.yaml", STRANGER, STRANGER)
    assert refused(work)[0].endswith(f"it belongs to user {STRANGER}")


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_a_file_that_everyone_can_write(work, mode):
    path = work.parent / "resnet-launch.yaml"
    path.chmod(mode)
    message, hint = refused(work)
    assert message.endswith("everyone can write to it")
    subprocess.run(hint, shell=True, check=True)
    assert find_file(work) == path


@as_root
def test_a_file_that_a_group_can_write(work):
    path = work.parent / "resnet-launch.yaml"
    os.chown(path, 0, STRANGER)
    path.chmod(0o664)
    assert refused(work)[0].endswith(f"the group {STRANGER} can write to it")
    path.chmod(0o644)
    assert find_file(work) == path


def test_nothing_above_the_repository(work):
    (work / ".git").mkdir()
    (work / "inner").mkdir()
    assert find_file(work / "inner") is None
    (work / "resnet-launch.yaml").touch()
    assert find_file(work / "inner") == work / "resnet-launch.yaml"


def test_a_worktree_s_git_is_a_file(work):
    (work / ".git").write_text("gitdir: elsewhere\n")
    assert find_file(work) is None


def test_nothing_above_the_home_directory(work, monkeypatch):
    monkeypatch.setenv("HOME", str(work))
    (work / "inner").mkdir()
    assert find_file(work / "inner") is None
    link = work.parent / "link"
    link.symlink_to(work)
    monkeypatch.setenv("HOME", str(link))
    assert find_file(work / "inner") is None


def test_a_folder_or_a_pipe_of_that_name_is_no_file(work):
    (work / "resnet-launch.yaml").mkdir()
    assert find_file(work) == work.parent / "resnet-launch.yaml"
    (work / "inner").mkdir()
    os.mkfifo(work / "inner" / "resnet-launch.yaml")
    assert find_file(work / "inner") == work.parent / "resnet-launch.yaml"


@as_root
@pytest.mark.parametrize("verb", ["render", "local", "config", "check --no-cluster", "list"])
def test_no_verb_uses_a_stranger_s_file(work, monkeypatch, capsys, verb):
    os.chown(work.parent / "resnet-launch.yaml", STRANGER, STRANGER)
    monkeypatch.chdir(work)
    run = [] if verb == "list" else ["--slice=cpu-1x1", "--arch=resnet18", "--data=digits"]
    assert main([*verb.split(), *run]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"it belongs to user {STRANGER}" in err
    assert not (work / "runs").exists()


def test_the_file_is_named(work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    assert main(["render", "--slice=cpu-1x1", "--arch=resnet18", "--data=digits"]) == 0
    assert f"using {work.parent / 'resnet-launch.yaml'} for image\n" in capsys.readouterr().err


def test_a_deleted_directory_has_no_file(work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    work.rmdir()
    assert main(["render", "--slice=cpu-1x1", "--arch=resnet18"]) == 0
