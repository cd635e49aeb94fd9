"""Differences that count: quantities are compared by value, everything else as it is written."""

import copy

import pytest

from launcher import TrainingJob, render
from launcher.runs import diff

MANAGER = "resnet-launch"
JOB = TrainingJob(slice="v4-32", arch="resnet152", bucket="b-1")


def rendered(job: TrainingJob = JOB):
    return copy.deepcopy(render(job)[-1])


def live(manifest):
    """Return an object as a server stores it whose every field was applied by the launcher."""
    stored = copy.deepcopy(manifest)
    fields = {"f:metadata": {"f:labels": {}, "f:annotations": {}}, "f:spec": {}}
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}
    stored["metadata"]["managedFields"] = [entry]
    return stored


def container(manifest):
    return manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("ours", "servers"),
    [(4, "4"), ("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("2000", "2k"), ("1G", "1G")],
)
def test_a_quantity_in_the_server_s_form_is_no_difference(ours, servers):
    new, stored = rendered(), live(rendered())
    container(new)["resources"] = {"limits": {"google.com/tpu": ours}, "requests": {"memory": ours}}
    container(stored)["resources"] = {"limits": {"google.com/tpu": servers}, "requests": {"memory": servers}}
    assert diff.unified(stored, new, MANAGER) == ""


@pytest.mark.parametrize(("ours", "servers"), [(4, "8"), ("1Gi", "1G"), ("500m", "5"), ("1", "1m")])
def test_another_quantity_is_a_difference(ours, servers):
    new, stored = rendered(), live(rendered())
    container(new)["resources"] = {"limits": {"memory": ours}}
    container(stored)["resources"] = {"limits": {"memory": servers}}
    lines = [line for line in diff.unified(stored, new, MANAGER).splitlines() if "memory:" in line]
    assert [line[0] for line in lines] == ["-", "+"]


def test_what_is_no_quantity_is_compared_as_it_is_written():
    new, stored = rendered(), live(rendered())
    container(stored)["env"][0] = {"name": container(new)["env"][0]["name"], "value": "1000m"}
    container(new)["env"][0]["value"] = "1"
    assert "value: 1000m" in diff.unified(stored, new, MANAGER)


def test_another_number_of_containers_is_a_difference():
    new, stored = rendered(), live(rendered())
    container(stored)["args"] = ["one", "more"]
    container(new)["args"] = ["one"]
    assert "-              - more" in diff.unified(stored, new, MANAGER)


@pytest.mark.parametrize("sides", [(9, None), (None, 9), (9, 10)])
def test_the_prediction_of_check_is_no_difference_and_other_settings_are(sides):
    """`submit --check` adds it to what a person has asked for."""

    def job(predicted, *more):
        sets = more if predicted is None else (f"log.predicted={predicted}", *more)
        return rendered(
            JOB if not sets else TrainingJob(slice="v4-32", arch="resnet152", bucket="b-1", set=sets)
        )

    before, after = sides
    assert diff.unified(live(job(before)), job(after), MANAGER) == ""
    assert "optim.lr=1" in diff.unified(live(job(before)), job(after, "optim.lr=1"), MANAGER)
