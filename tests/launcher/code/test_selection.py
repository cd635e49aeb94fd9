"""Which files of a directory are packed, and what is refused."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from launcher.code import dockerignore, selection
from launcher.errors import RequestError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository whose git reads no configuration of the user."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a")
    return git(folder, "rev-parse", "HEAD")


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in selection.select(folder).entries]


def refused(folder: Path) -> tuple[str, str]:
    """The message and the hint of the one problem of a directory."""
    with pytest.raises(RequestError) as caught:
        selection.select(folder)
    [problem] = caught.value.problems
    assert problem.field == "code"
    return problem.message, problem.hint


def test_tracked_files_with_their_uncommitted_changes(tree: Path) -> None:
    write(tree, a="1", b="2", gone="3", ignored="4")
    (tree / ".gitignore").write_text("ignored\nbuild/\n")
    (tree / "run.sh").write_text("x")
    (tree / "run.sh").chmod(0o755)
    oid = commit(tree)
    assert not selection.select(tree).dirty
    write(tree, a="changed", new="untracked")
    (tree / "gone").unlink()
    selected = selection.select(tree)
    assert {e.path: e.content for e in selected.entries} == {
        ".gitignore": b"ignored\nbuild/\n",
        "a": b"changed",
        "b": b"2",
        "run.sh": b"x",
    }
    assert [e.path for e in selected.entries if e.executable] == ["run.sh"]
    assert (selected.commit, selected.dirty) == (oid, True)
    assert selected.notes == ("1 untracked file is not packed: new (git add FILE packs it too)",)


def test_untracked_files_are_counted_and_the_first_are_named(tree: Path) -> None:
    write(tree, a="1")
    commit(tree)
    write(tree, u1="", u2="", u3="", u4="", u5="")
    [note] = selection.select(tree).notes
    assert note == "5 untracked files are not packed: u1, u2, u3 and 2 more (git add FILE packs it too)"


def test_a_subdirectory_is_packed_alone_and_named_from_itself(tree: Path) -> None:
    (tree / "a" / "b").mkdir(parents=True)
    write(tree, top="1")
    write(tree / "a" / "b", inner="2")
    commit(tree)
    write(tree, top="changed", beside="untracked")
    selected = selection.select(tree / "a")
    assert [e.path for e in selected.entries] == ["b/inner"]
    assert (selected.dirty, selected.notes) == (False, ())  # what changed lies outside
    write(tree / "a" / "b", more="untracked")
    assert "is not packed: b/more" in selection.select(tree / "a").notes[0]


def test_states_of_a_repository(tree: Path, tmp_path: Path) -> None:
    write(tree, a="1")
    git(tree, "add", "a")
    unborn = selection.select(tree)
    assert (unborn.commit, unborn.dirty) == ("", True)
    first = commit(tree)
    write(tree, a="2")
    second = commit(tree)
    git(tree, "mv", "a", "renamed")
    assert paths(tree) == ["renamed"]
    git(tree, "reset", "--quiet", "--hard")
    git(tree, "checkout", "--quiet", "--detach", first)
    assert selection.select(tree).commit == first
    git(tree, "clone", "--quiet", "--depth", "1", f"file://{tree}", str(tmp_path / "shallow"))
    assert selection.select(tmp_path / "shallow").commit == first
    git(tree, "worktree", "add", "--quiet", str(tmp_path / "beside"), second)
    assert selection.select(tmp_path / "beside").commit == second


def test_odd_names_and_empty_files(tree: Path) -> None:
    names = ["new\nline", 'quo"te', "blank s", "umlaut-ü", "-dash", "back\\slash", "tab\t", "\udcff-byte"]
    for name in names:
        (tree / name).write_bytes(b"")
    commit(tree)
    assert sorted(paths(tree)) == sorted(names)


def test_the_environment_names_no_other_repository(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, a="1")
    commit(tree)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert paths(tree) == ["a"]


def test_no_program_of_the_repository_is_run(tree: Path) -> None:
    write(tree, a="1")
    commit(tree)
    (tree / "monitor").write_text(f"#!/bin/sh\ntouch {tree}/ran\n")
    (tree / "monitor").chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(tree / "monitor"))
    selection.select(tree)
    assert not (tree / "ran").exists()


def test_submodules(tree: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet")
    write(library, inner="1")
    commit(library)
    git(tree, "submodule", "add", "--quiet", str(library), "lib")
    commit(tree)
    assert paths(tree) == [".gitmodules", "lib/inner"]
    git(tree, "clone", "--quiet", str(tree), str(tmp_path / "clone"))
    message, hint = refused(tmp_path / "clone")
    assert message == "must have its submodules checked out, got none in 'lib'"
    assert hint.endswith("submodule update --init")


def test_pointers_of_git_lfs_are_named(tree: Path) -> None:
    write(tree, weights=POINTER, a="1")
    commit(tree)
    [note] = selection.select(tree).notes
    assert note == "1 file of Git LFS is a pointer only: weights (git lfs pull)"


def test_links_within_the_directory_are_kept(tree: Path) -> None:
    (tree / "d").mkdir()
    write(tree / "d", file="1")
    (tree / "d" / "up").symlink_to("../top")
    (tree / "folder").symlink_to("d")
    write(tree, top="2")
    commit(tree)
    links = {e.path: e.target for e in selection.select(tree).entries if e.target}
    assert links == {"d/up": "../top", "folder": "d"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "which leaves the directory"),
        ("../outside", "which leaves the directory"),
        ("..", "which leaves the directory"),
        ("d/../../outside", "which leaves the directory"),
        ("untracked", "which is not packed"),
        ("dangling", "which is not packed"),
    ],
)
def test_links_that_lead_elsewhere_are_refused(tree: Path, target: str, reason: str) -> None:
    (tree / "link").symlink_to(target)
    commit(tree)
    write(tree, untracked="1")
    message, hint = refused(tree)
    assert message == f"must hold only links to what is packed, got 'link' -> '{target}', {reason}"
    assert hint == "replace the link by the file, or leave it out"


def test_a_folder_that_became_a_link_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tree / "d").mkdir()
    write(tree / "d", secret="1")
    write(tree, a="1")
    commit(tree)
    (tree / "d" / "secret").unlink()
    (tree / "d").rmdir()
    write(tmp_path, secret="of somebody else")
    (tree / "d").symlink_to(tmp_path)
    assert paths(tree) == ["a"]


def test_a_repository_of_another_user_is_refused_with_git_s_own_advice(tree: Path) -> None:
    if os.getuid():
        pytest.skip("needs root, to give the folder to another user")
    write(tree, a="1")
    commit(tree)
    for folder in (tree, tree / ".git"):
        os.chown(folder, 12345, 12345)
    message, hint = refused(tree)
    assert message == f"must be a repository of yours, and {str(tree)!r} belongs to another user"
    assert hint == f"git config --global --add safe.directory {tree}"


def test_without_git_a_repository_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, a="1")
    commit(tree)
    monkeypatch.setenv("PATH", str(tree))
    message, hint = refused(tree)
    assert message.startswith("must be outside git where git is not installed")
    assert hint.startswith("install git")


def test_a_damaged_repository_is_refused(tree: Path) -> None:
    (tree / ".git" / "HEAD").write_text("nonsense")
    message, _ = refused(tree)
    assert message.startswith("must be a directory that git can read")
    assert "not a git repository" in message


def test_directories_that_hold_nothing(tree: Path, tmp_path: Path) -> None:
    assert refused(tree)[0] == f"must hold files that git tracks, got none in {str(tree)!r}"
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert refused(tmp_path / "empty")[0].startswith("must hold files, got none in")
    write(tmp_path, file="1")
    assert refused(tmp_path / "file")[0].endswith("a file")
    assert refused(tmp_path / "none")[0].endswith("which does not exist")


def test_outside_git_dockerignore_decides(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "data").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    write(folder, a="1", secret="2")
    write(folder / "data", big="3", kept="4")
    write(folder / "__pycache__", a="5")
    selected = selection.select(folder)
    assert [e.path for e in selected.entries] == ["a", "data/big", "data/kept", "secret"]
    assert selected.notes == (f"{folder} has neither git nor .dockerignore: all of its files are packed",)
    (folder / ".dockerignore").write_text("# comment\nsecret\ndata\n!data/kept\n")
    selected = selection.select(folder)
    assert [e.path for e in selected.entries] == [".dockerignore", "a", "data/kept"]
    assert (selected.notes, selected.commit, selected.dirty) == ((), "", False)


def test_outside_git_run_directories_stay_at_home(tmp_path: Path) -> None:
    folder, outside = tmp_path / "plain", tmp_path / "outside"
    trained, program = folder / "runs" / "trained", folder / "runs" / "deeper" / "program"
    for run in (trained, program / "code"):
        run.mkdir(parents=True)
    write(folder, **{"a.py": "1"})
    write(trained, **{"config.json": "{}", "attempts.jsonl": "", "weights": "2"})
    (trained / "log").symlink_to(outside)  # wandb makes such links
    write(program / "code", **{f"{'0' * 64}.tar.gz": "3"})
    write(program, saved="4")
    selected = selection.select(folder)
    assert [e.path for e in selected.entries] == ["a.py"]
    assert selected.notes[1:] == ("2 run directories are not packed: runs/deeper/program, runs/trained",)
    (folder / ".dockerignore").write_text("runs/deeper\n")
    assert selection.select(folder).notes == ("1 run directory is not packed: runs/trained",)
    assert [e.path for e in selection.select(program).entries] == [f"code/{'0' * 64}.tar.gz", "saved"]


def test_files_that_look_like_part_of_a_run_are_packed(tmp_path: Path) -> None:
    model, code, empty = (tmp_path / "plain" / name for name in ("model", "runs", "code"))
    for folder in (model, code / "code", empty):
        folder.mkdir(parents=True)
    write(model, **{"config.json": "{}"})
    write(code / "code", **{"a.tar.gz": "1"})
    write(empty, code="2")
    assert paths(tmp_path / "plain") == ["code/code", "model/config.json", "runs/code/a.tar.gz"]


def test_outside_git_the_hint_for_a_link_names_dockerignore(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    hint = f"replace the link by the file, or leave it out: {tmp_path}/.dockerignore names what to leave out"
    assert refused(tmp_path)[1] == hint


def test_what_is_neither_file_nor_link_is_refused(tmp_path: Path) -> None:
    for kind in ("pipe", "socket", "device"):
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "pipe":
            os.mkfifo(folder / "x")
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(folder / "x"))
        elif os.getuid() == 0:
            os.mknod(folder / "x", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        else:
            continue
        message = refused(folder)[0]
        assert message == "must hold only files, folders and links, got a device, socket or pipe at 'x'"


def test_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path, tree: Path) -> None:
    for folder in (tree, tmp_path / "plain"):
        folder.mkdir(exist_ok=True)
        write(folder, small="1")
        for name, size in (("weights", 70 << 20), ("video", 2_000_000)):
            with open(folder / name, "wb") as file:
                file.truncate(size)
    git(tree, "add", "--intent-to-add", "--all")
    for folder, remedy in ((tree, "git rm --cached FILE"), (tmp_path / "plain", ".dockerignore")):
        message, hint = refused(folder)
        assert message == (
            "must be at most 67.1 MB, got 75.4 MB in 3 files; "
            "the largest are weights (73.4 MB), video (2.0 MB), small (1 byte)"
        )
        assert remedy in hint


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "d/a.pyc", False),  # a pattern without **/ is for the top only
        ("**/*.pyc", "d/e/a.pyc", True),
        ("**/*.pyc", "a.pyc", True),
        ("d", "d/e/f", True),
        ("d/", "d/e", True),
        ("/d", "d/e", True),
        ("./d/../e", "e", True),
        ("d/*", "d/e/f", True),
        ("d/**/f", "d/f", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("\\*", "*", True),
        ("\\*", "a", False),
        ("*\n!keep", "keep", False),
        ("*\n!keep\nkeep", "keep", True),
        ("d\n!d/e", "d/e", False),
        ("d\n!d/e", "d/f", True),
        ("#a", "#a", False),
        (" a ", "a", True),
        ("\ufeffa", "a", True),
        (".", "a", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns_of_docker(patterns: str, path: str, expected: bool) -> None:
    assert dockerignore.ignored(path, dockerignore.parse(patterns)) is expected


@pytest.mark.parametrize("text", ["[a", "a[]", "[b-a]x"])
def test_patterns_that_nobody_can_read(tmp_path: Path, text: str) -> None:
    write(tmp_path, a="1")
    (tmp_path / ".dockerignore").write_text(text)
    assert f"the pattern {text!r}" in refused(tmp_path)[0]
