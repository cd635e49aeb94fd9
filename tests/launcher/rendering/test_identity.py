"""The keys by which a run, its pods and its policies are found cannot be set, changed or removed."""

import json

import pytest

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError

RUN = {"slice": "cpu-2x1", "arch": "resnet18", "name": "r"}
PODS = ["spec", "replicatedJobs", [{"name": "slice"}], "template", "spec", "template", "metadata"]


@pytest.mark.parametrize("field", ["label", "annotation"])
@pytest.mark.parametrize(
    "key",
    [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "jobset.sigs.k8s.io/jobset-name",
        "jobset.sigs.k8s.io/global-replicas",
        "batch.kubernetes.io/job-completion-index",
        "resnet-launch/run-dir",
    ],
)
def test_a_reserved_key_is_refused(field, key):
    with pytest.raises(RequestError) as caught:
        TrainingJob(**RUN, **{field: {key: "x", "team": "a"}})
    assert caught.value.messages() == [(f"{field}: must not set {key}: runs are found by it", "")]


@pytest.mark.parametrize(("key", "flag"), [("queue-name", "--queue"), ("priority-class", "--priority")])
def test_kueue_s_labels_are_set_by_their_flags(key, flag):
    with pytest.raises(RequestError) as caught:
        TrainingJob(**RUN, label={f"kueue.x-k8s.io/{key}": "q"})
    assert caught.value.messages() == [(f"label: must not set kueue.x-k8s.io/{key}", f"{flag} q")]


@pytest.mark.parametrize(
    "key", ["app.kubernetes.io/part-of", "team", "example.com/name", "kueue.x-k8s.io/other"]
)
def test_other_keys_are_free(key):
    [jobset] = render(TrainingJob(**RUN, label={key: "x"}))
    assert jobset["metadata"]["labels"][key] == "x"


def below(path, value):
    """The patch that sets `value` at a path; a list in the path stands for its one item."""
    for part in reversed(path):
        value = [{**part[0], **value}] if isinstance(part, list) else {part: value}
    return value


NAME = "app.kubernetes.io/name"
PATCHES = [
    below(["metadata", "labels"], {NAME: "x"}),
    below(["metadata", "labels"], {NAME: None}),
    below(["metadata", "labels"], {"app.kubernetes.io/instance": "other"}),
    below(["metadata", "labels"], {"$patch": "replace", "team": "a"}),
    below(["metadata", "labels"], None),
    {"metadata": None},
    below(["metadata", "annotations"], {"resnet-launch/run-dir": "gs://other/run"}),
    below(["metadata", "annotations"], {"$patch": "delete"}),
    below(PODS, {"labels": {NAME: "x"}}),
    below(PODS, {"labels": None}),
    below(PODS, {"labels": {"jobset.sigs.k8s.io/jobset-name": "other"}}),
    below(PODS[:-1], {"metadata": None}),
    below(["spec", "replicatedJobs"], [{"name": "free", "template": {"spec": {"template": {"spec": {}}}}}]),
]


@pytest.mark.parametrize("patch", PATCHES, ids=json.dumps)
def test_a_patch_leaves_them(patch):
    with pytest.raises(RequestError, match=r"patch: must (keep|not set) .* runs are found by it"):
        render(TrainingJob(**RUN, patch=patch))


@pytest.mark.parametrize(
    "patch",
    [
        below(["metadata", "labels"], {"team": "a", NAME: "resnet-launch"}),
        below(PODS, {"labels": {"team": "a"}, "annotations": {"note": "b"}}),
        below(["metadata", "labels"], {"kueue.x-k8s.io/queue-name": "q"}),
    ],
    ids=json.dumps,
)
def test_a_patch_may_add_others(patch):
    assert render(TrainingJob(**RUN, patch=patch))


def test_the_command_ends_with_one_line(capsys):
    flags = ["--slice=cpu-1x1", "--arch=resnet18", "--data=digits", "--bucket=b-1", "--image=r/i:1"]
    assert main(["render", *flags, "--label", f"{NAME}=x"]) == 2
    assert capsys.readouterr() == ("", f"error: label: must not set {NAME}: runs are found by it\n")
