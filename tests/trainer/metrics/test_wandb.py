"""wandb without a network, as its own reader finds it: the group of a sweep, and what belongs to a run."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from train_runs import environment
from wandb.proto import wandb_internal_pb2

from trainer.metrics.wandb import sweep_of

SCRIPT = """
import sys, time
from etils import epath
from trainer.config import LogConfig
from trainer.metrics.lines import Progress
from trainer.metrics.log import Log
from trainer.metrics.wandb import Wandb
root, name = sys.argv[1:]
mirror = Wandb(LogConfig(wandb="offline"), name, epath.Path(root), {"a": 1})
log = Log(epath.Path(root), mirrors=[mirror])
log.resume_at(0)
time.sleep(0.2)
assert "wandb" not in sys.modules  # before a step, its import would take time from tracing
figures = {"loss": 0.5, "accuracy": 0.5, "grad_norm": 1.0, "lr": 0.1}
figures |= {"images_per_second": 640.0, "predicted": 900.0, "slow": "cause not measured"}
for step in (7, 8):
    log.progress(Progress(step=step, steps=9, epoch=0.1, epochs=1.0, **figures), 0.0)
log.close()
mirror.close()
"""
HEADER, RECORD, BLOCK = 7, 7, 32768  # bytes
CODE = {"digest": "ab" * 32, "commit": "c" * 40, "dirty": False}


def records(folder):
    """Kind -> the records of a run that was offline: a log of LevelDB that holds protocol buffers."""
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, parts, kinds = path.read_bytes(), HEADER, b"", {}
    while place + RECORD < len(data):
        if BLOCK - place % BLOCK < RECORD:  # the rest of a block is empty
            place += BLOCK - place % BLOCK
            continue
        _, length, part = struct.unpack_from("<IHB", data, place)
        parts += data[place + RECORD : place + RECORD + length]
        place += RECORD + length
        if part in (1, 4):  # a whole record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            kind, parts = record.WhichOneof("record_type"), b""
            kinds.setdefault(kind, []).append(getattr(record, kind))
    return kinds


def test_a_run_of_a_sweep_has_its_group_its_page_and_its_code(tmp_path):
    root = tmp_path / "lr" / "lr-seed0"
    root.mkdir(parents=True)
    (root / "report.html").write_text("<h1>the page</h1>")
    env = environment() | {"RESNET_CODE": json.dumps(CODE), "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", SCRIPT, str(root), "lr-seed0"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == ""
    kinds = records(root)
    values = [
        {item.key or item.nested_key[0]: item.value_json for item in row.item} for row in kinds["history"]
    ]
    lines = ("train/predicted", "train/images_per_second")
    assert [[float(row[name]) for name in lines] for row in values] == [[900.0, 640.0]] * 2
    assert {(run.run_group, run.display_name) for run in kinds["run"]} == {("lr", "lr-seed0")}
    files = {
        artifact.type: (entry.path, Path(entry.local_path))
        for artifact in kinds["artifact"]
        for entry in artifact.manifest.contents
    }
    assert {kind: name for kind, (name, _) in files.items()} == {"report": "report.html", "code": "code.json"}
    assert files["report"][1].read_text() == "<h1>the page</h1>"
    assert json.loads(files["code"][1].read_text()) == CODE
    assert all(path.is_relative_to(root) for _, path in files.values())


@pytest.mark.parametrize(
    ("name", "root", "sweep"),
    [
        ("lr-lr0-1-seed2", "gs://b/lr/lr-lr0-1-seed2", "lr"),
        ("lr-x", "/runs/lr/lr-x", "lr"),
        ("first", "gs://b/first", ""),
        ("b-1", "gs://b/b-1", ""),
        ("lrx", "/runs/lr/lrx", ""),
        ("first", "first", ""),
        ("x", "/x", ""),
    ],
)
def test_which_sweep_a_run_is_of(name, root, sweep):
    assert sweep_of(name, root) == sweep
