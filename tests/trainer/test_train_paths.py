"""Whole runs on images at a path: the same losses from every layout, resumed exactly, damage named."""

import json
import os
import subprocess
import sys

import pytest
from layouts import folder, make_all
from train_runs import COMPILED

COMMAND = [
    sys.executable,
    "-m",
    "trainer",
    "--arch",
    "resnet-tiny",
    "--batch",
    "32",
    "--set",
    "model.width=8",
]
COMMAND += ["--set", "data.image_size=24", "--set", "data.min_area=0.3", "--set", "data.flip=true"]
COMMAND += ["--set", "optim.schedule=constant", "--set", "optim.warmup_epochs=0", "--set", "optim.lr=0.1"]
COMMAND += ["--set", "log.every_steps=1", "--set", "log.wandb=off", "--set", "train.eval_every_epochs=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("layouts"))


@pytest.fixture(scope="module")
def train():
    """Runs the trainer; the first run compiles for all."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_", "WANDB_"))}

    def run(data, run_dir, *arguments, steps=6):
        words = ["--data", str(data), "--run-dir", str(run_dir), "--steps", str(steps)]
        done = subprocess.run(
            [*COMMAND, *words, "--set", f"train.compile_cache={COMPILED}", *arguments],
            env=inherited | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def rows(run_dir, kind):
    metrics = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in metrics if row["kind"] == kind]


@pytest.fixture(scope="module")
def reference(made, train, tmp_path_factory):
    """The run on the image folder."""
    run_dir = tmp_path_factory.mktemp("reference")
    code, out, err = train(made["folder"], run_dir)
    assert code == 0, err
    assert "data_wait=" in out
    assert [step for step, _ in rows(run_dir, "train")] == [1, 2, 3, 4, 5, 6]
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["tar", "tfrecord", "tfds", "raw"])
def test_every_layout_gives_the_same_losses_bit_for_bit(made, train, reference, tmp_path, layout):
    code, _, err = train(made[layout], tmp_path)
    assert code == 0, err
    for kind in ("train", "evaluate"):
        assert rows(tmp_path, kind) == rows(reference, kind)


@pytest.mark.slow
def test_a_run_on_packed_images_goes_on_where_it_stopped(made, train, reference, tmp_path):
    code, _, err = train(made["raw"], tmp_path, steps=3)
    assert code == 0, err
    code, out, err = train(made["raw"], tmp_path)
    assert code == 0, err
    assert "event name=restore" in out
    assert rows(tmp_path, "train") == rows(reference, "train")


@pytest.mark.slow
def test_damage_in_the_middle_of_a_run_ends_it_by_name(train, tmp_path):
    root = folder(tmp_path / "photos")
    damaged = sorted((root / "train").glob("*/*.png"))[40]
    damaged.write_bytes(damaged.read_bytes()[:70])
    code, _, err = train(root, tmp_path / "run", "--set", "data.bad_images=0")
    assert code == 44
    assert f"error: data: {damaged}: it is damaged: the file ends early (damaged images: 1," in err
    assert "hint: `resnet-launch data verify` names all of them" in err
    assert "Traceback" not in err


def test_a_path_that_is_no_dataset_cannot_succeed(train, tmp_path):
    code, _, err = train(tmp_path / "nothing", tmp_path / "run")
    assert code == 44
    assert f"error: data: {tmp_path}/nothing must be a dataset, got nothing there" in err
