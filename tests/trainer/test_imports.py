"""What a run imports before its first step: nothing that only some runs use."""

import subprocess
import sys

import pytest

# wandb and TensorBoard are switched on by a setting, a bucket's client is for a bucket, and Pillow reads
# what no decoder of ours reads, and is imported then.
LATER = ("wandb", "tensorboard", "google.cloud.storage", "PIL", "tensorflow", "trainer.weights.inference")


@pytest.fixture(scope="module")
def imported():
    program = f"import sys, trainer.train; print(*[name for name in {LATER!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", LATER)
def test_the_trainer_starts_without(imported, name):
    assert name not in imported
