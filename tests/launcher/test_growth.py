"""No work of the launcher grows faster than the hosts of a run, counted in calls that its code makes."""

import sys

import api_server
import pytest
from answers import Answers

from launcher import TrainingJob, render
from launcher.cli.verbs import status as status_verb
from launcher.rendering.manifest import to_yaml
from launcher.runs import listing
from launcher.runs.status import status

SMALL, LARGE = 64, 512
ROOM = 1.05  # the logarithm of a sort


def calls(work):
    """Count the calls of functions, of Python's own too, that a piece of work makes."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def grows_no_faster_than_hosts(work, prepared=lambda hosts: hosts):
    small, large = (prepared(hosts) for hosts in (SMALL, LARGE))
    work(small)  # imports and caches
    few, many = calls(lambda: work(small)), calls(lambda: work(large))
    return many <= ROOM * few * LARGE / SMALL


def run_of(hosts, ended=False, started=True, finished=""):
    pods = [api_server.pod(host, ended=ended, started=started) for host in range(hosts)]
    line = f"{api_server.now()} progress step=10 steps=100 loss=2.5"
    return Answers(
        JobSet=[api_server.jobset(hosts=hosts, ended=finished)],
        Pod=pods,
        logs={pod["metadata"]["name"]: [line] for pod in pods},
    )


RUNS = {
    "trains": {},
    "waits for its images": {"started": False},
    "has completed": {"ended": True, "finished": "Completed"},
    "has failed": {"ended": True, "finished": "Failed"},
}


@pytest.mark.parametrize("state", RUNS)
@pytest.mark.parametrize(
    "reading",
    [lambda cluster: status_verb.page(status(cluster, "run")), listing.rows],
    ids=["status", "list"],
)
def test_reading_a_run_grows_no_faster_than_its_pods(state, reading):
    assert grows_no_faster_than_hosts(reading, lambda hosts: run_of(hosts, **RUNS[state]))


@pytest.mark.parametrize(("chips", "name"), [(4, "v4"), (4, "v5p"), (8, "h100")])
def test_rendering_does_not_grow_with_hosts(chips, name):
    """A slice of so many hosts is one template: the same calls, and digits more at most."""

    def job(hosts):
        count = chips * hosts * (2 if name.startswith("v") else 1)  # v4-N and v5p-N count TensorCores
        return TrainingJob(slice=f"{name}-{count}", arch="resnet50", bucket="b-1", image="r/i:1")

    small, large = (to_yaml(render(job(hosts))) for hosts in (SMALL, LARGE))
    assert len(large) - len(small) < 50
    few, many = (calls(lambda hosts=hosts: to_yaml(render(job(hosts)))) for hosts in (SMALL, LARGE))
    assert many < 1.5 * few


@pytest.mark.parametrize(
    "work",
    [
        lambda pods: [len(other) for _ in pods for other in pods],
        lambda pods: [sorted(pods, key=lambda pod: pod) for _ in pods],
        lambda pods: [sum(pod.startswith("p") for pod in pods[:n]) for n in range(len(pods))],
    ],
)
def test_work_that_grows_with_the_square_is_noticed(work):
    assert not grows_no_faster_than_hosts(work, lambda hosts: ["pod"] * hosts)
