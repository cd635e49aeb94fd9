"""The runs below a folder or a bucket as rows: their figures, what is wrong with some, and the cache."""

import json
import os

import board_runs
import local_bucket
import pytest

from trainer.board import collection, folders, page
from trainer.board.__main__ import main
from trainer.errors import ConfigError, RunDirectoryError

CHIPS = json.dumps({"TPU7x": {"devices_per_chip": 2, "price": 10.0}})


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, as RUN/FILE."""
    read, names = folders.Folder.read, []

    def noted(folder, name):
        names.append(f"{folder.address.rpartition('/')[2]}/{name}")
        return read(folder, name)

    monkeypatch.setattr(folders.Folder, "read", noted)
    return names


def test_the_figures_of_a_run(tmp_path, capsys):
    board_runs.make(
        tmp_path / "runs" / "sweep" / "a", "a", 0.75, optim__lr=0.3, train__seed=2, log__predicted=900.0
    )
    assert main([str(tmp_path / "runs"), "--json", "--chips", CHIPS]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["changed"] == {"optim.lr": "0.3", "train.seed": "2"}
    assert row["settings"]["data.shift_pixels"] == "1"  # of the recipe
    assert "log.predicted" not in row["settings"]  # nobody has chosen it
    expected = {"name": "a", "group": "sweep", "state": "finished", "data": "digits", "recipe": "digits"}
    expected |= {"best_accuracy": 0.75, "accuracy": 0.375, "step": 20, "epochs": 2.0, "loss": 0.15}
    expected |= {"images_per_second": 110.0, "devices": 8, "hosts": 2, "attempts": 1, "seconds": 36.0}
    expected |= {"chips": 4, "chip_hours": pytest.approx(0.04), "cost": 0.4, "last_sign": 1036.0}
    expected |= {"report": True, "arch": "resnet50"}
    assert {name: row[name] for name in expected} == expected
    assert 0 < row["goodput"] < 1
    assert "curves" not in row


def test_the_hours_are_those_of_each_attempt_on_its_own_devices(tmp_path):
    folder = board_runs.make(tmp_path / "a")
    first = {"name": "start", "at": 0.0, "hosts": 1, "devices": 4, "device_kind": "TPU v4"}
    events = [first, {"name": "compiled", "at": 100.0, "seconds": 9.0}]
    # The second attempt knows the last step of the first, 200 s after its start; then nobody held devices.
    second = first | {"at": 5000.0, "devices": 16, "before_step": 9, "before_at": 200.0}
    events += [second, {"name": "compiled", "at": 5050.0, "seconds": 9.0}]
    board_runs.lines(folder / "events.jsonl", events)
    board_runs.lines(folder / "metrics.jsonl", [])
    [row] = collection.collect([str(tmp_path)], cached=False)
    assert row["device_hours"] == pytest.approx((200 * 4 + 50 * 16) / 3600, abs=1e-5)
    assert row["state"] == "not finished"


def test_runs_that_are_broken_new_or_half_written_have_rows_too(tmp_path):
    board_runs.make(tmp_path / "good", "good")
    newer = board_runs.make(tmp_path / "newer", "newer")
    config = json.loads((newer / "config.json").read_text())
    config["model"]["nova"], config["quantum"] = 3, {"q": [1]}
    (newer / "config.json").write_text(json.dumps(config))
    half = board_runs.make(tmp_path / "half", "half")
    text = (half / "metrics.jsonl").read_text()
    (half / "metrics.jsonl").write_text(text + '{"kind": "train", "st')
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.json").write_text("{")
    (tmp_path / "begun").mkdir()
    board_runs.lines(tmp_path / "begun" / "events.jsonl", [{"name": "start", "at": 1.0, "devices": 1}])
    loud = board_runs.make(tmp_path / "loud", "a\x1b]0;b\u202e")
    os.mkfifo(tmp_path / "loud" / "pipe")
    odd = board_runs.make(tmp_path / "odd")
    (odd / "events.jsonl").unlink()
    (odd / "events.jsonl").mkdir()
    rows = {row["address"].rpartition("/")[2]: row for row in collection.collect([str(tmp_path)])}
    assert sorted(rows) == ["begun", "good", "half", "loud", "newer", "odd", "torn"]
    assert rows["newer"]["changed"] == {"model.nova": "3", "quantum.q": "[1]"}
    assert rows["half"]["curves"] == rows["good"]["curves"]
    assert rows["torn"]["problem"] == "config.json is no JSON object"
    assert rows["begun"]["problem"] == "config.json is not there yet"
    assert rows["loud"]["name"].isprintable()
    assert loud.exists()
    assert "problem" not in rows["odd"]  # it has no events that could be read


def test_what_has_not_changed_is_not_read_again(tmp_path, reads):
    for name in "ab":
        board_runs.make(tmp_path / "runs" / name, name)
    first = collection.collect([str(tmp_path / "runs")])
    assert len(reads) == 6
    reads.clear()
    assert collection.collect([str(tmp_path / "runs")]) == first
    assert reads == []
    with open(tmp_path / "runs" / "b" / "metrics.jsonl", "a") as file:
        file.write('{"kind": "evaluate", "step": 30, "epoch": 3.0, "accuracy": 0.9, "loss": 0.1}\n')
    rows = collection.collect([str(tmp_path / "runs")])
    assert {name.partition("/")[0] for name in reads} == {"b"}
    assert [row["best_accuracy"] for row in rows] == [0.5, 0.9]
    reads.clear()
    collection.collect([str(tmp_path / "runs")], cached=False)
    assert len(reads) == 6


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "0/0", "runs": {}}'])
def test_a_damaged_cache_is_none(tmp_path, content):
    board_runs.make(tmp_path / "runs" / "a", "a")
    rows = collection.collect([str(tmp_path / "runs")])
    [store] = (tmp_path / "cache" / "board").iterdir()
    store.write_text(content)
    assert collection.collect([str(tmp_path / "runs")]) == rows


def test_the_cache_of_somebody_else_is_not_believed(tmp_path):
    board_runs.make(tmp_path / "runs" / "a", "a")
    collection.collect([str(tmp_path / "runs")])
    [store] = (tmp_path / "cache" / "board").iterdir()
    store.write_text(store.read_text().replace('"name": "a"', '"name": "not a"'))
    assert [row["name"] for row in collection.collect([str(tmp_path / "runs")])] == ["not a"]
    store.chmod(0o666)
    assert [row["name"] for row in collection.collect([str(tmp_path / "runs")])] == ["a"]


def test_a_bucket_is_listed_folder_by_folder_and_read_once(tmp_path, monkeypatch, reads):
    files = board_runs.make(tmp_path / "a", "a", report=False)
    objects = {f"runs/x/a/{file.name}": file.read_bytes() for file in files.iterdir()}
    objects |= {f"runs/x/a/checkpoints/{n}/d": b"" for n in range(50)} | {"runs/data/1.jpg": b""}
    folders._client.cache_clear()
    with local_bucket.serving(objects) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        [row] = collection.collect(["gs://b/runs"])
        local = collection.collect([str(tmp_path / "a")], cached=False)[0]
        same = ("name", "best_accuracy", "curves", "settings", "device_hours")
        assert {name: row[name] for name in same} == {name: local[name] for name in same}
        assert row["address"] == "gs://b/runs/x/a"
        assert page.links([row | {"report": True}], str(tmp_path)) == {
            "gs://b/runs/x/a": "https://storage.cloud.google.com/b/runs/x/a/report.html"
        }
        reads.clear()
        collection.collect(["gs://b/runs"])
        assert reads == []
    folders._client.cache_clear()


def test_each_run_is_listed_once(tmp_path):
    board_runs.make(tmp_path / "a" / "b", "b")
    rows = collection.collect([str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")])
    assert [(row["address"], row["group"]) for row in rows] == [(str(tmp_path / "a" / "b"), "a")]


def test_what_is_no_folder_of_runs(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "absent"):
        with pytest.raises(ConfigError, match=r"^DIR: must be a folder or gs://…, got"):
            collection.collect([str(tmp_path / name)])
    with pytest.raises(ConfigError, match="must hold run directories, got"):
        collection.collect([str(tmp_path)])


def test_a_file_larger_than_any_run_writes_is_not_read(tmp_path, monkeypatch):
    folder = board_runs.make(tmp_path / "a")
    monkeypatch.setattr(folders, "LARGEST", 10)
    [row] = collection.collect([str(tmp_path)])
    assert row["problem"].startswith(f"{folder}/config.json must have at most 10 bytes")
    with pytest.raises(RunDirectoryError):
        folders.Folder(str(folder), {"config.json": (11, "")}).read("config.json")


def test_the_mean_is_over_runs_that_differ_in_their_seed_alone(tmp_path):
    for lr, values in ((0.1, (0.5, 0.7)), (0.2, (0.9, 0.8, 0.7)), (0.3, (0.99,))):
        for seed, accuracy in enumerate(values):
            settings = {"optim__lr": lr, "train__seed": seed}
            board_runs.make(tmp_path / f"{lr}-{seed}", f"{lr}-{seed}", accuracy, **settings)
    rows = collection.collect([str(tmp_path)])
    means = page.means(rows, page.differing(rows))
    assert [(mean["differs"], mean["runs"]) for mean in means] == [("optim.lr=0.2", 3), ("optim.lr=0.1", 2)]
    assert [mean["mean"] for mean in means] == [pytest.approx(0.8), pytest.approx(0.6)]
    assert [mean["deviation"] for mean in means] == [pytest.approx(0.1), pytest.approx(0.02**0.5)]
