"""`submit --replace`: what the trainer would refuse in the run directory is refused before anything goes."""

import pytest

from launcher import TrainingJob, render
from launcher.errors import RequestError
from launcher.runs import replacement

BASE = {"slice": "cpu-2x1", "arch": "resnet18", "data": "digits", "bucket": "my-bucket", "name": "run"}


def stored(**changes):
    return render(TrainingJob(**BASE | changes))[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "resnet50"}, "model.arch 'resnet18', got 'resnet50'"),
        ({"data": "fashion-mnist"}, "data.name 'digits', got 'fashion-mnist'"),
        ({"set": ("model.stem=deep",)}, "model.stem "),
        ({"seed": 7}, "train.seed 0, got 7"),
        ({"batch": 32}, "train.batch 64, got 32"),
        ({"args": ("--set", "optim.name=lars")}, "optim.name 'sgd', got 'lars'"),
    ],
)
def test_another_network_data_batch_or_seed_is_refused(changes, words):
    with pytest.raises(RequestError) as refused:
        replacement.require_resumable(stored(), TrainingJob(**BASE | changes))
    [(message, hint)] = refused.value.messages()
    assert message.startswith("run-dir: must be another one: gs://my-bucket/run is that of a run with ")
    assert words in message
    elsewhere = TrainingJob(**BASE | changes, run_dir=hint.split(",")[0].removeprefix("--run-dir "))
    replacement.require_resumable(stored(), elsewhere)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"epochs": 3},
        {"slice": "cpu-4x1"},
        {"set": ("optim.lr=0.1",)},
        {"image": "r.io/x:2"},
        {"grace": 60},
    ],
)
def test_the_same_run_otherwise_continues(changes):
    replacement.require_resumable(stored(), TrainingJob(**BASE | changes))


def test_where_nothing_is_kept_or_nothing_known_it_is_replaced():
    kept_nowhere = {name: value for name, value in BASE.items() if name != "bucket"}
    replacement.require_resumable(render(TrainingJob(**kept_nowhere))[-1], TrainingJob(**kept_nowhere))
    odd = stored()
    container = odd["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
    for command in (["python", "mine.py"], ["python", "-m", "trainer", "--odd"], "text", None):
        container["command"] = command
        replacement.require_resumable(odd, TrainingJob(**BASE | {"arch": "resnet50"}))
