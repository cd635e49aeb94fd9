"""Files of a run directory: whole or not at all, never through a link, and errors that name the cause."""

import os
import resource
import threading

import pytest
from disks import as_another_user, read_only, small_disk
from etils import epath
from pages import RECORD

from trainer.config import resolve
from trainer.errors import RunDirectoryError, StorageError
from trainer.metrics.wandb import run_id
from trainer.report import page
from trainer.rundir import dataset, directory, files, lease
from trainer.rundir.jsonlines import JsonLines, read

CONFIG = resolve("r", "/d", "")
CLASSES = dataset.DatasetRecord(class_names=("a", "b"), image_size=8, mean=(0.5,), std=(0.5,), crop=1.0)
WRITERS = {
    "config.json": lambda root: directory.record(root, CONFIG, [], 0),
    "attempts.jsonl": lambda root: directory.record(root, CONFIG, [], 0),
    "metrics.jsonl": lambda root: JsonLines(root / "metrics.jsonl").append({"kind": "train", "step": 1}),
    "report.html": lambda root: files.write(root / "report.html", "<html>"),
    ".lock": lambda root: lease.acquire(root, "").release(),
    "wandb-id": run_id,
    "dataset.json": lambda root: dataset.write(root, CLASSES),
}
WRITES = pytest.mark.parametrize("name", WRITERS)


def error_of(write, root):
    """Return the message with which a writer refuses a run directory; None if it writes."""
    try:
        write(epath.Path(root))
    except (RunDirectoryError, StorageError) as error:
        return str(error)
    return None


@WRITES
@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_link_in_the_place_of_a_file_is_not_followed(name, target, tmp_path):
    (tmp_path / "victim").write_text("precious")
    root = tmp_path / "run"
    root.mkdir()
    (root / name).symlink_to(tmp_path / target)
    message = error_of(WRITERS[name], root)
    if name in ("config.json", "report.html", "dataset.json"):
        assert not (root / name).is_symlink()  # a new file in its place
    elif name == "wandb-id" and target == "victim":
        assert message is None  # it is only read
    elif message:
        assert f"{root}/{name}: Too many levels of symbolic links" in message
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


@WRITES
def test_a_pipe_does_not_make_anyone_wait(name, tmp_path):
    root = tmp_path / "run"
    root.mkdir()
    os.mkfifo(root / name)

    messages = []
    thread = threading.Thread(target=lambda: messages.append(error_of(WRITERS[name], root)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert all(message is None or name in message for message in messages)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_not_read(name, kind, tmp_path):
    path = tmp_path / name
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "device": lambda: path.symlink_to("/dev/zero")}[
        kind
    ]()
    reader = directory.read if name == "config.json" else lambda root: read(root / name)
    with pytest.raises(RunDirectoryError, match=f"{path} (must be a regular file|cannot be read: Is a dir)"):
        reader(epath.Path(tmp_path))


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        for name, write in WRITERS.items():
            write(epath.Path(tmp_path))
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o640, name
    finally:
        os.umask(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(WRITERS)  # no temporary file is left


@WRITES
def test_a_full_disk_is_named_with_its_reason(name, tmp_path):
    with small_disk(tmp_path / "run", 8) as root:
        fill(root)
        message = error_of(WRITERS[name], root)
        assert f"run directory {root} cannot be written: " in str(message)
        assert "No space left on device" in str(message)
        assert "hint: free space or raise the quota there" in str(message)
        assert {path.name for path in root.iterdir()} <= {*WRITERS, "fill"}  # no temporary file


def fill(root):
    with open(root / "fill", "ab", 0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


@WRITES
def test_a_read_only_directory_cannot_succeed(name, tmp_path):
    root = tmp_path / "run"
    root.mkdir()
    with read_only(root), pytest.raises(RunDirectoryError, match="Read-only file system") as raised:
        WRITERS[name](epath.Path(root))
    assert f"run directory {root} cannot be written: " in str(raised.value)


@WRITES
def test_a_missing_permission_cannot_succeed(name, tmp_path):
    root = tmp_path / "run"
    root.mkdir(mode=0o755)
    tmp_path.chmod(0o700)
    with as_another_user(), pytest.raises(RunDirectoryError, match="Permission denied"):
        WRITERS[name](epath.Path(root))


def test_a_report_that_cannot_be_written_is_one_warning(tmp_path, capsys):
    root = tmp_path / "run"
    root.mkdir()
    with read_only(root):
        page.write(epath.Path(root), RECORD)
    reason = f"run directory {root} cannot be written: {root}/report.html: Read-only file system"
    assert capsys.readouterr().err == f"warning: {root}/report.html was not written: {reason}\n"


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be written: .*File too large"):
            files.write(epath.Path(tmp_path / "config.json"), "x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_row_after_one_that_a_kill_cut_off_is_not_lost(tmp_path):
    path = epath.Path(tmp_path / "metrics.jsonl")
    path.write_text('{"kind": "train", "step": 1}\n{"kind": "tr')
    JsonLines(path).append({"kind": "train", "step": 2})
    assert [row["step"] for row in read(path)] == [1, 2]


@pytest.mark.parametrize("line", ["{", "[]", "7", "null", "[" * 100_000], ids=lambda line: line[:4])
def test_a_bad_line_between_others_is_counted(line, tmp_path, capsys):
    path = epath.Path(tmp_path / "events.jsonl")
    path.write_text(f'{{"name": "start"}}\n{line}\n{{"name": "end"}}\n')
    assert [row["name"] for row in read(path)] == ["start", "end"]
    expected = "line 2 must be a JSON object with the fields of its kind; lines left out: 1"
    assert f"warning: {path}: {expected}" in capsys.readouterr().err
