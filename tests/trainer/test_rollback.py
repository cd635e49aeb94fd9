"""A gradient that is not finite, rolled back: with real data, on one process and on two, with interruptions.

The images of two batches are flat and as bright as the mean of the dataset, so that their variance is 0 in
every layer; with model.bn_epsilon=0 the gradient of BatchNorm is not a number then.
"""

import json
import math
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
from train_runs import COMPILED, environment, finish, losses, rows, start

from trainer.data.pipeline import TrainStream

BATCH, SIZE = 16, 320
MEAN = 64  # a power of two: 64/255 less the mean is 0 whichever way a compiler rounds
FLAT = (6, 9)  # batches of the stream, counted from 0
RUN = ["--arch", "resnet-tiny", "--batch", str(BATCH), "--steps", "14", "--set", "model.width=8"]
RUN += ["--set", "model.bn_epsilon=0", "--set", "checkpoint.every_steps=4", "--set", "log.every_steps=1"]
RUN += ["--set", "log.wandb=off", "--set", "train.eval_every_epochs=0", "--set", "optim.warmup_epochs=0"]
ROLLBACK = ["--set", "train.on_nan=rollback"]


def write_idx(path, array):
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The words of a run on the images; all share their compiled programs."""
    root = tmp_path_factory.mktemp("flat")
    random = np.random.default_rng(0)
    images = np.empty((SIZE, 8, 8), np.uint8)
    labels = (np.arange(SIZE) % 4).astype(np.uint8)
    off = (random.integers(1, 50, (SIZE, 8, 4)) * (1 + labels[:, None, None])) // 4
    images[..., :4], images[..., 4:] = MEAN + off, MEAN - off  # the mean of every image is exactly 64
    stream = TrainStream(size=SIZE, batch=BATCH, seed=0)
    for batch in FLAT:
        images[stream.examples(batch, np.arange(BATCH))[1]] = MEAN
    for word, count in (("train", SIZE), ("t10k", 32)):
        write_idx(root / f"{word}-images-idx3-ubyte", images[:count])
        write_idx(root / f"{word}-labels-idx1-ubyte", labels[:count])
    return [*RUN, "--data", str(root), "--set", f"train.compile_cache={COMPILED}"]


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("undisturbed")
    code, _, err = finish(start(run_dir, *run, *ROLLBACK))
    assert code == 0, err
    return run_dir


def rollbacks(run_dir):
    return [(e["step"], e["to"]) for e in rows(run_dir, "events.jsonl") if e["name"] == "rollback"]


@pytest.mark.slow
def test_a_run_goes_back_and_over_what_it_cannot_learn_from(undisturbed):
    assert rollbacks(undisturbed) == [(7, 4), (7, 4)]  # batch 6; then 7, 8 and 9 for steps 5 to 7
    assert sorted(losses(undisturbed)) == list(range(1, 15))
    assert all(math.isfinite(loss) for loss in losses(undisturbed).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "how", "code"),
    [("progress step=10 ", signal.SIGTERM, 42), ("event name=rollback", signal.SIGKILL, -9)],
)
def test_a_restart_repeats_every_loss(undisturbed, run, tmp_path, at, how, code):
    process = start(tmp_path, *run, *ROLLBACK)
    for line in process.stdout:
        if line.startswith(at):
            process.send_signal(how)
            break
    assert finish(process)[0] == code
    done, _, err = finish(start(tmp_path, *run, *ROLLBACK))
    assert done == 0, err
    assert losses(tmp_path) == losses(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: loss must be finite, got nan at step 7\n"),
        ([*ROLLBACK, "--set", "train.max_rollbacks=1"], "got nan at step 7, after 1 rollbacks\n"),
    ],
)
def test_a_run_that_may_not_go_back_any_more_stops(run, tmp_path, words, message):
    code, _, err = finish(start(tmp_path, *run, *words))
    assert code == 44
    assert message in err
    assert "4" in {path.name for path in (tmp_path / "checkpoints").iterdir()}


@pytest.mark.slow
def test_all_hosts_go_back_alike(undisturbed, run, tmp_path):
    command = [sys.executable, "-m", "launcher", "local", "--slice", "cpu-2x1", "--run-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, *run, *ROLLBACK],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert rollbacks(tmp_path) == [(7, 4), (7, 4)]
    alone = losses(undisturbed)
    assert losses(tmp_path) == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_before_the_first_save_a_run_goes_back_to_its_beginning(run, tmp_path):
    code, _, err = finish(start(tmp_path, *run, *ROLLBACK, "--set", "checkpoint.every_steps=0"))
    assert code == 0, err
    assert rollbacks(tmp_path) == [(7, 0), (3, 0)]  # batches 7, 8 and 9 for steps 1 to 3
    names = [event["name"] for event in rows(tmp_path, "events.jsonl")]
    assert names.count("first_step") == 1  # the first of the attempt, not of each way through it


def test_the_stream_after_rollbacks_by_hand():
    stream = TrainStream(size=8, batch=2, seed=3)
    again = stream.rolled_back(failed=3, to=1)  # batches 1 and 2 are left out
    assert batches(again, 4) == [0, 3, 4, 5]
    # Step 5 takes batch 6; back to 2, which took 3: batches 4 to 6 are left out.
    twice = again.rolled_back(failed=5, to=2)
    assert batches(twice, 5) == [0, 3, 7, 8, 9]
    assert stream.resumed(json.loads(json.dumps(twice.to_json()))) == twice
    assert stream.resumed({}) == stream
    # Further back than the first: what it left out has nothing to say any more.
    assert batches(twice.rolled_back(failed=2, to=0), 3) == [4, 5, 6]


def batches(stream, steps):
    """Which batches of the stream without rollbacks these steps take."""
    plain = TrainStream(size=stream.size, batch=stream.batch, seed=stream.seed)
    shown = {number: plain.examples(number, np.arange(2)) for number in range(20)}
    batches = [stream.examples(step, np.arange(2)) for step in range(steps)]
    return [
        next(n for n, rows in shown.items() if np.array_equal(rows, one)) for one in map(np.asarray, batches)
    ]


def test_without_checkpoints_there_is_nothing_to_go_back_to(tmp_path):
    code, _, err = finish(start(tmp_path, *ROLLBACK, "--set", "checkpoint.enabled=false"))
    assert code == 44
    assert "train.on_nan: must be stop where checkpoint.enabled is false, got 'rollback'" in err
