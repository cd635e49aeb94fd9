"""TrainingJob: the fields that it fills in, and errors that name every problem at once."""

import dataclasses
import doctest

import pytest

import launcher.request.job
from launcher import TrainingJob
from launcher.errors import RequestError


def job(**fields):
    return TrainingJob(**{"slice": "v4-32", "arch": "resnet152", **fields})


def problems(**fields) -> dict[str, str]:
    with pytest.raises(RequestError) as caught:
        job(**fields)
    return {p.field: f"{p.message} / {p.hint}" for p in caught.value.problems}


def test_docstring():
    assert doctest.testmod(launcher.request.job).failed == 0


def test_fields_that_were_left_out_are_filled_in():
    resolved = job(bucket="gs://team/runs/")
    assert resolved.name == "resnet152-v4-32"
    assert resolved.run_dir == "gs://team/runs/resnet152-v4-32"
    assert resolved.image == "resnet-launch:0.1.0-tpu"
    assert (resolved.hosts, resolved.devices, resolved.grace) == (4, 16, 300)
    assert job(spot=True).grace == 25
    assert job().run_dir == "/scratch/resnet152-v4-32"


def test_aliases_and_shapes_give_one_name():
    assert job(slice="v4:2x2x4").name == "resnet152-v4-32"
    assert job(slice="V5litepod-16").name == "resnet152-v5e-16"
    assert job(slice="v4:4x4x16").name == "resnet152-v4-4x4x16"


def test_is_frozen_and_can_be_replaced():
    full = job(
        mount=["pvc/imagenet:/data:ro"],
        secret_env={"WANDB_API_KEY": "wandb/key"},
        toleration=["dedicated=training:NoSchedule", "spot"],
        jobset_version="v0.8.2",
        env={"A": "1"},
        batch="64",
    )
    assert full.batch == 64
    assert full.jobset_version == (0, 8)
    assert full.secret_env == {"WANDB_API_KEY": ("wandb", "key")}
    assert full.toleration[0] == {
        "key": "dedicated",
        "operator": "Equal",
        "value": "training",
        "effect": "NoSchedule",
    }
    again = dataclasses.replace(full, batch=128)
    assert dataclasses.replace(again, batch=64) == full
    with pytest.raises(dataclasses.FrozenInstanceError):
        full.batch = 3  # type: ignore[misc]


def test_names_every_problem_at_once():
    wrong = problems(slice="v5e-24", arch="resnet51", batch=0, num_slices="two", env=["A"], mount=["pvc/x"])
    assert sorted(wrong) == ["arch", "batch", "env", "mount", "num-slices", "slice"]
    assert wrong["arch"].endswith("got 'resnet51' / did you mean resnet50?")


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"arch": None}, "arch", "must be given, or command in its place / as in --arch resnet50"),
        ({"slice": None}, "slice", "must be given / as in --slice v4-32"),
        ({"arch": "resnet5"}, "arch", "must be a network (resnet18, "),
        ({"recipe": "classic90"}, "recipe", "did you mean classic-90?"),
        (
            {"arch": "convnext-s", "recipe": "vit-s16-90"},
            "recipe",
            "must be for convnext-s, a network of convnext, got vit-s16-90 for vit / --recipe convnext-t; "
            "recipes for convnext-s: convnext-t, classic-90",
        ),
        (
            {"arch": "resnetv2-50", "recipe": "rsb-a1"},
            "recipe",
            "must be for resnetv2-50, a network of preact, got rsb-a1 for resnet / --recipe classic-90; "
            "recipes for resnetv2-50: classic-90",
        ),
        (
            {"arch": "vit-b16", "recipe": "deit3-s", "set": ["model.arch=nfnet-f1"]},
            "recipe",
            "must be for nfnet-f1, a network of nfnet, got deit3-s for vit / --recipe nfnet-f0",
        ),
        (
            {"arch": "resnet50", "args": ["--recipe", "mdeq-cifar"]},
            "recipe",
            "must be for resnet50, a network of resnet, got mdeq-cifar for deq / --recipe fast-16",
        ),
        ({"data": "digit"}, "data", "did you mean digits?"),
        ({"batch": 100}, "batch", "must be a multiple of the run's 16 devices, got 100 / --batch 96 or 112"),
        ({"batch": 3}, "batch", "--batch 16"),
        (
            {"arch": "vit-b16", "set": ["mesh.model=8"]},
            "set",
            "mesh.model must divide the 12 heads, 3072 hidden units of vit-b16 and the 16 devices of a "
            "slice, got 8 / --set mesh.model=4; what divides all of them: 1, 2, 4",
        ),
        ({"arch": "a.b:c", "set": ["mesh.model=3"]}, "set", "must divide the 16 devices of a slice, got 3"),
        ({"set": ["mesh.model=2"]}, "set", "mesh.model must be 1 for resnet152, whose layers cannot"),
        (
            {"arch": "vit-b16", "set": ["mesh.model=4"], "batch": 6},
            "batch",
            "must be a multiple of the run's 4 groups of 4 devices, got 6 / --batch 4 or 8",
        ),
        ({"batch": "many"}, "batch", "must be a whole number of at least 1, got 'many'"),
        ({"batch": True}, "batch", "must be a whole number"),
        ({"args": ["--batch", "100"]}, "batch", "--batch 96 or 112"),
        ({"set": ["train.batch=100"]}, "batch", "--batch 96 or 112"),
        ({"epochs": 0}, "epochs", "must be a number above zero, got 0"),
        ({"epochs": 1, "steps": 1}, "steps", "must not be used together with epochs"),
        ({"set": ["optim.lrr=1"]}, "set", "did you mean optim.lr?"),
        ({"set": ["optim.lr=fast"]}, "set", "optim.lr must be a number, got 'fast'"),
        ({"set": ["augment.erase=1.5"]}, "set", "augment.erase must be a number of at most 1, got '1.5'"),
        ({"set": ["optim.lr=nan"]}, "set", "optim.lr must be a number of at least 0, got 'nan'"),
        ({"set": ["model.dtype=float16"]}, "set", "model.dtype must be one of auto, bfloat16, float32"),
        ({"set": ["optim.lr"]}, "set", "must be section.field=value, got 'optim.lr'"),
        ({"args": ["--bacth", "3"]}, "args", "did you mean --batch?"),
        ({"args": ["--batch"]}, "args", "must have a value after --batch"),
        ({"name": "x" * 48}, "name", "must be at most 47 characters for 1 x v4-32"),
        ({"name": "9lives"}, "name", "starting with a letter"),
        ({"name": "a\nb: c"}, "name", "must be at most 63 lower-case letters"),
        ({"num_slices": 2, "slice": "v4-8"}, "num-slices", "must be 1 for v4-8, got 2"),
        ({"slice": "local-gpu-1"}, "slice", "resnet-launch local --slice local-gpu"),
        ({"bucket": "My Bucket"}, "bucket", "must be a Cloud Storage bucket"),
        ({"run_dir": "runs/x"}, "run-dir", "must be gs://BUCKET/… or an absolute path"),
        ({"run_dir": "/runs/x"}, "run-dir", "or lie under a writable --mount"),
        ({"run_dir": "/data/x", "mount": ["pvc/a:/data:ro"]}, "run-dir", "writable"),
        ({"mount": ["pvc/a:/tmp"]}, "mount", "must mount a directory of its own"),
        ({"mount": ["pvc/a:/x", "pvc/b:/x"]}, "mount", "got several at /x"),
        ({"env": {"RESNET_HOSTS": "9"}}, "env", "must not set RESNET_HOSTS"),
        ({"env": ["A=1"], "secret_env": ["A=s/k"]}, "secret-env", "must not set A: --env sets it"),
        ({"label": ["a b=c"]}, "label", "must be a key such as team"),
        ({"label": ["team=x y"]}, "label", "must be at most 63 letters, digits"),
        ({"namespace": "Team"}, "namespace", "must be at most 63 lower-case"),
        ({"image": "a b"}, "image", "must be an image"),
        ({"memory": "lots"}, "memory", "must be a quantity such as 4, 500m or 16Gi"),
        ({"grace": "soon"}, "grace", "must be a duration such as 90s"),
        ({"jobset_version": 0.1}, "jobset-version", "must be a version in quotes"),
        ({"platform": "gek"}, "platform", "did you mean gke?"),
        ({"spot": "maybe"}, "spot", "must be true or false"),
        ({"patch": ["x"]}, "patch", "must be a mapping"),
    ],
)
def test_bad_input(fields, field, text):
    wrong = problems(**fields)
    assert list(wrong) == [field]
    assert text in wrong[field]


def test_a_name_of_the_longest_length_passes():
    assert len(job(name="x" * 47).name + "-slice-0-3-abcde") == 63


def test_a_secret_never_shows_in_an_error():
    wrong = problems(secret_env=["WANDB_API_KEY=0123456789abcdef"])
    assert "0123456789abcdef" not in wrong["secret-env"]


@pytest.mark.parametrize("url", ["https://hooks.slack.com/services/T0/B0/x", "chat/url/x", "x", 7, ["a/b"]])
def test_a_url_of_messages_is_refused_and_not_shown(url):
    wrong = problems(notify=url)["notify"]
    assert wrong.startswith("must be SECRET/KEY, the key of a Secret that holds the URL")
    assert str(url) not in wrong.replace("(kubectl", "") or url in (7, "x")
