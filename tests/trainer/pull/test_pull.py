"""A run is copied whole or not at all, its checkpoint is verified, and a copy that was stopped goes on."""

import json
import os
import subprocess
import sys

import local_bucket
import pytest
from train_runs import QUICK, environment

from trainer.errors import ConfigError
from trainer.pull import choice, copying
from trainer.pull.source import Source

SMALL = {*copying.SMALL, copying.MARK}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pulled") / "first"
    flags = ["--set", "checkpoint.every_steps=3", "--set", "checkpoint.keep=5", "--name", "first"]
    command = [sys.executable, "-m", "trainer", "--run-dir", str(folder), *QUICK, *flags]
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=200)
    return folder


def pulled(*arguments, **env):
    command = [sys.executable, "-m", "trainer.pull", *map(str, arguments)]
    return subprocess.run(
        command, env=environment() | env, capture_output=True, text=True, timeout=100, check=False
    )


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def whole(out):
    return {path.name for path in (out / "checkpoints").iterdir() if path.name.isdigit()}


def test_the_small_files_come_and_later_what_is_new(run, tmp_path):
    out = tmp_path / "copy"
    done = pulled(run, out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}: 6 files of {run}\n"
    assert {path.name for path in out.iterdir()} == SMALL
    assert (out / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    (out / "events.jsonl").write_text("half of a ro")
    done = pulled(run, out)
    assert (done.returncode, done.stderr) == (0, "events.jsonl: replaced by the newer one\n")
    assert content(out).keys() == SMALL
    assert (out / "events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()


def test_a_checkpoint_from_a_bucket_goes_on_where_it_stopped_and_is_verified(run, tmp_path):
    objects = {f"runs/first/{name}": data for name, data in content(run).items()}
    state = [name for name in objects if "/6/state/" in name]
    lost = {name: objects.pop(name) for name in state if name.endswith("_METADATA")}
    out = tmp_path / "copy"

    read = []

    class Counted(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    served = Counted(objects)
    served |= dict.fromkeys(lost, b"")  # listed with the size and checksum of what it lacks
    with local_bucket.serving(served) as address:
        bucket = {"STORAGE_EMULATOR_HOST": address}
        done = pulled("gs://b/runs/first", out, "--checkpoint", "newest", **bucket)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: checkpoint 6 in {out}/checkpoints is damaged")
        assert whole(out) == set()
        read.clear()
        served |= lost
        done = pulled("gs://b/runs/first", out, "--checkpoint", "newest", **bucket)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(" and checkpoint 6, whose checksums are right\n")
        assert [name for name in read if "/6/state/" in name] == [*lost]
    got, expected = content(out), content(run)
    names = {name for name in expected if name in copying.SMALL or name.startswith("checkpoints/6/")}
    assert {name: got[name] for name in names} == {name: expected[name] for name in names}
    assert got.keys() - names == {copying.MARK}


def test_what_does_not_arrive_whole_is_an_error(run, tmp_path):
    class Cut(dict):
        def __getitem__(self, name):
            return super().__getitem__(name)[: -1 if name.endswith("dataset.json") else None]

    objects = Cut({f"first/{name}": data for name, data in content(run).items() if "/" not in name})
    with local_bucket.serving(objects) as address:
        done = pulled("gs://b/first", tmp_path / "copy", STORAGE_EMULATOR_HOST=address)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: gs://b/first/dataset.json did not arrive whole: its checksum must be "
    )
    assert not (tmp_path / "copy" / "dataset.json").exists()


@pytest.mark.parametrize("piece", ["array", "sum"])
def test_a_checkpoint_that_is_damaged_where_it_lies_never_gets_its_name(run, tmp_path, piece):
    out = tmp_path / "copy"
    damaged = tmp_path / "first"
    subprocess.run(["cp", "-r", run, damaged], check=True)
    if piece == "array":
        largest = max((damaged / "checkpoints/6/state").rglob("*"), key=lambda path: path.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 1
        largest.write_bytes(data)
    else:
        meta = damaged / "checkpoints/6/meta/metadata"
        document = json.loads(meta.read_text())
        document["checksums"]["step"] ^= 1
        meta.write_text(json.dumps(document))
    done = pulled(damaged, out, "--checkpoint", "best")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: checkpoint 6 in {out}/checkpoints is damaged: ")
    assert whole(out) == set()
    done = pulled(run, out, "--checkpoint", "best")
    assert done.returncode == 2
    assert "got a copy of" in done.stderr


def test_a_folder_of_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for out, problem in (
        (tmp_path / "mine", "must be a new folder, or a copy of "),
        (tmp_path / "file", "must be a folder, got the file "),
        (run / "inside", "must be outside the run directory"),
        (run, "must be outside the run directory"),
    ):
        done = pulled(run, out)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: OUT: {problem}")
        assert done.stderr.count("\n") == 1
    assert content(tmp_path) == {"mine/config.json": b"mine", "file": b"mine"}


def test_no_run_and_no_checkpoint_are_one_line(run, tmp_path):
    done = pulled(tmp_path, tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: RUN: must be the directory of a run, got ")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text("{}")
    done = pulled(tmp_path / "new", tmp_path / "out", "--checkpoint", "best")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: --checkpoint: must be left out for a run without a checkpoint")
    assert not (tmp_path / "out").exists()


ACCURACIES = {3: 0.5, 6: 0.9, 9: 0.9, 12: None, 15: float("nan")}


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("steps", "best", "newest"),
    [([3], 3, 3), ([3, 6], 6, 6), ([3, 6, 9, 12], 9, 12), ([3, 12], 3, 12), ([12], 12, 12), ([3, 15], 3, 15)],
)
def test_which_checkpoint_is_meant(tmp_path, steps, best, newest, remote, monkeypatch):
    for step in steps:
        folder = tmp_path / "checkpoints" / str(step)
        (folder / "meta").mkdir(parents=True)
        (folder / "meta" / "metadata").write_text(json.dumps({"accuracy": ACCURACIES[step]}))
        (folder / choice.WHOLE).touch()
    for name in ("99.orbax-checkpoint-tmp", "damaged-98"):
        (tmp_path / "checkpoints" / name / "meta").mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "meta" / "metadata").write_text('{"accuracy": 1}')
    objects = content(tmp_path) | {"checkpoints/97/meta/metadata": b'{"accuracy": 1}'}
    if not remote:
        source = Source(str(tmp_path))
        assert [choice.checkpoint(source, name)[0] for name in choice.CHOICES] == [best, newest]
        return
    with local_bucket.serving({f"r/{name}": data for name, data in objects.items()}) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        from trainer.pull import source as module

        module._client.cache_clear()
        source = Source("gs://b/r")
        assert [choice.checkpoint(source, name)[0] for name in choice.CHOICES] == [best, newest]
        module._client.cache_clear()


def test_a_name_that_leads_elsewhere_is_refused(tmp_path, monkeypatch):
    with local_bucket.serving({"r/checkpoints/3/../../../x": b""}) as address:
        done = pulled("gs://b/r", tmp_path / "o", STORAGE_EMULATOR_HOST=address)
        assert done.returncode == 2
        with local_bucket.serving({"r/config.json": b"{}", "r/checkpoints/3/../../x": b""}) as address:
            done = pulled("gs://b/r", tmp_path / "o", "--checkpoint", "best", STORAGE_EMULATOR_HOST=address)
    assert done.returncode == 1
    assert done.stderr == "error: gs://b/r must hold files of a run, got 'checkpoints/3/../../x'\n"
    assert not os.path.exists(tmp_path / "o")


def test_a_run_without_checkpoints_is_none_to_choose_from(tmp_path):
    with pytest.raises(ConfigError, match=r"^--checkpoint: must be left out"):
        choice.checkpoint(Source(str(tmp_path)), "best")
