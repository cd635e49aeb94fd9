"""The views of a cluster's runs, from a server whose watches stay open."""

import contextlib
import time

import api_server
import pytest
from streaming_server import StreamingServer, jobset, pod, progress

from launcher.check import prices
from launcher.cluster.api import Cluster
from launcher.errors import ActionError
from launcher.live.cluster_feed import ClusterFeed


@contextlib.contextmanager
def feed(server, folder, *names, price=None):
    cluster = Cluster(kubeconfig=str(server.kubeconfig(folder)))
    following = ClusterFeed(cluster, names, prices.read(price), lambda: None)
    following.open()
    try:
        yield following
    finally:
        following.close()


def until(following, holds, seconds=15.0):
    """Return the views by name once a condition of them holds."""
    deadline = time.monotonic() + seconds
    while True:
        views = {view.name: view for view in following.views()}
        with contextlib.suppress(KeyError, IndexError):
            if holds(views):
                return views
        assert time.monotonic() < deadline, views
        time.sleep(0.02)


def ended(kind, reason=""):
    at = "2026-01-01T02:00:00Z"
    return [{"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": at}]


def test_without_names_runs_that_are_over_are_left_out_and_those_that_end_stay(tmp_path):
    with StreamingServer(jobsets=[jobset("old", conditions=ended("Completed")), jobset("new")]) as server:
        with feed(server, tmp_path) as following:
            assert [view.name for view in following.views()] == ["new"]
            server.put("jobsets", jobset("later", created="2026-01-02T00:00:00Z"))
            until(following, lambda views: list(views) == ["later", "new"])
            server.put("jobsets", jobset("new", conditions=ended("Completed")))
            until(following, lambda views: views["new"].phase == "Completed")
        with feed(server, tmp_path, "old") as following:
            assert [view.name for view in following.views()] == ["old"]


def test_a_name_that_no_run_has_is_one_error_with_the_closest(tmp_path):
    with (
        StreamingServer(jobsets=[jobset("run-a")]) as server,
        pytest.raises(ActionError) as caught,
        feed(server, tmp_path, "run-a", "run-b"),
    ):
        pass
    assert str(caught.value) == "no run 'run-b' in namespace default"
    assert caught.value.hint == "did you mean run-a?"


def test_a_run_that_waits_says_why_from_all_of_its_pods(tmp_path):
    unschedulable = {
        "phase": "Pending",
        "containerStatuses": [],
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}],
    }
    pods = [pod("run", 0, **unschedulable), pod("run", 1, **unschedulable)]
    with (
        StreamingServer(jobsets=[jobset("run", ready=0)], pods=pods) as server,
        feed(server, tmp_path) as following,
    ):
        views = until(following, lambda views: views["run"].why)
        assert views["run"].phase == "Pending"
        assert views["run"].why == (
            "no node for the pod: 0/3 nodes are available "
            "(2 pods, such as run-slice-0-0-00000 on node node-0)",
        )
        assert views["run"].ready == 0
        for host in (0, 1):
            server.put("pods", pod("run", host))
        server.put("jobsets", jobset("run"))
        assert until(following, lambda views: views["run"].phase == "Running")["run"].why == ()


def test_the_pods_of_a_run_that_trains_are_not_read(tmp_path):
    many = [pod("run", host) for host in range(50)]
    with StreamingServer(jobsets=[jobset("run", hosts=50)], pods=many) as server:
        server.say(many[0]["metadata"]["name"], progress(3))
        with feed(server, tmp_path) as following:
            until(following, lambda views: views["run"].progress["step"] == 3)
            listed = [asked for asked in server.asked if asked.plural == "pods" and not asked.is_log]
            assert all("job-completion-index=0" in asked.query["labelSelector"] for asked in listed)
            before = len(server.asked)
            server.say(many[0]["metadata"]["name"], *(progress(step) for step in range(4, 60)))
            until(following, lambda views: views["run"].progress["step"] == 59)
            assert len(server.asked) == before  # no request while a run goes on


def job_event(name, at, message, reason="PodFailurePolicy"):
    involved = {"kind": "Job", "name": name, "uid": f"uid-{name}-{at}"}
    stamp = {"lastTimestamp": f"2026-01-01T00:{at}Z", "count": 1}
    metadata = {"name": f"event-{at}", "uid": f"event-{at}", "namespace": "default"}
    return {
        "metadata": metadata,
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": involved,
        **stamp,
    }


def test_restarts_are_counted_by_their_cause_as_far_as_events_tell(tmp_path):
    events = [
        job_event("run-slice-0", "10:00", "Container trainer for pod default/p failed with exit code 42 x"),
        job_event("run-slice-1", "10:02", "Container trainer for pod default/q failed with exit code 42 x"),
        job_event("run-slice-0", "20:00", "Container trainer for pod default/p failed with exit code 43 x"),
        job_event("run-slice-0", "30:00", "Pod default/p has condition DisruptionTarget matching"),
        job_event("run-slice-0", "40:00", "Job has exceeded", "MaxFailedIndexesExceeded"),
        job_event("other-slice-0", "50:00", "Container trainer for pod default/o failed with exit code 43 x"),
    ]
    with (
        StreamingServer(jobsets=[jobset("run", slices=2, restarts=(6, 1))], events=events) as server,
        feed(server, tmp_path) as following,
    ):
        restarts = until(following, lambda views: len(views["run"].restarts.causes) > 1)["run"].restarts
    assert (restarts.total, restarts.counted, restarts.limit) == (6, 1, 10)
    assert restarts.causes == {
        "preempted": 2,
        "exit code 43": 1,
        "rejected by its node": 1,
        "not known any more": 2,
    }


def test_a_restart_reads_the_log_of_the_new_pod_and_drops_what_is_repeated(tmp_path):
    with StreamingServer(jobsets=[jobset("run")], pods=[pod("run")]) as server:
        server.say("run-slice-0-0-00000", *(progress(step) for step in range(1, 51)))
        with feed(server, tmp_path, price="1") as following:
            views = until(following, lambda views: views["run"].progress["step"] == 50)
            assert len(views["run"].loss) == 50
            server.remove("pods", "run-slice-0-0-00000")
            server.say("run-slice-0-0-00001", progress(41, loss=9.0))
            server.put("pods", pod("run", attempt=1))
            server.put("jobsets", jobset("run", restarts=(1, 0)))
            views = until(following, lambda views: views["run"].progress["step"] == 41)
            assert len(views["run"].loss) == 41
            assert views["run"].loss[-1] == 9.0


@pytest.mark.parametrize(
    ("run", "shape", "expected"),
    [
        (jobset("run"), "cpu-2x1", (2 * 300 / 3600, True)),
        (jobset("run", shape="v5e-256", hosts=64), "v5e-256", (256 * 300 / 3600, True)),
        (jobset("run", restarts=(1, 1)), "cpu-2x1", (2 * 300 / 3600, False)),
        (jobset("run", shape="own-thing"), "own-thing", None),
    ],
)
def test_the_cost_counts_the_chips_of_the_slice_and_says_where_attempts_are_missing(
    tmp_path, run, shape, expected
):
    with (
        StreamingServer(jobsets=[run], pods=[pod("run")]) as server,
        feed(server, tmp_path, price="10") as following,
    ):
        view = until(following, lambda views: views["run"].phase == "Running")["run"]
        if expected is None:
            assert view.held is None
            assert view.cost(time.time()) is None
            return
        until(following, lambda views: views["run"].held.since is not None)
        view = following.views()[0]
        hours, whole = expected
        assert view.held
        assert view.held.chip_hours(time.time()) == pytest.approx(hours, rel=0.05)
        assert view.cost(time.time()) == pytest.approx(10 * hours, rel=0.05)
        assert view.held.whole == whole


@pytest.mark.parametrize("kind", ["pods", "events", "logs", "workloads"])
def test_what_may_not_be_read_is_noted_and_the_rest_is_shown(tmp_path, kind):
    def hook(handler, asked):
        refused = asked.is_log if kind == "logs" else asked.plural == kind and not asked.is_log
        return (
            api_server.failure(
                403,
                f'User "jane" cannot list resource "{kind}" in API group "" in the namespace "default"',
                "Forbidden",
            )
            if refused
            else None
        )

    with (
        StreamingServer(hook, jobsets=[jobset("run")], pods=[pod("run")]) as server,
        feed(server, tmp_path) as following,
    ):
        until(following, lambda views: views["run"].phase == "Running")
        deadline = time.monotonic() + 10
        while not following.notes() and kind != "workloads":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert following.error is None
        assert all("may not" in note or "cannot" in note for note in following.notes())


def test_a_server_that_goes_away_is_noted_and_watched_again(tmp_path, monkeypatch):
    monkeypatch.setattr("launcher.runs.watch.RETRY_SECONDS", (0.05, 0.1))
    monkeypatch.setattr("launcher.cluster.connection.PAUSES", (0.01,))
    monkeypatch.setattr("launcher.runs.watch.WATCH_SECONDS", 1.0)
    down = []

    def hook(handler, asked):
        return handler.cut() if down else None

    with StreamingServer(hook, jobsets=[jobset("run")]) as server, feed(server, tmp_path) as following:
        down.append(True)
        deadline = time.monotonic() + 10
        while not following.notes():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        down.clear()
        server.put("jobsets", jobset("late"))
        until(following, lambda views: "late" in views)
        while following.notes():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        (
            "slow host first-slice-0-1: work of the host, 40%",
            "slow host first-slice-0-1 on node n-7: work of the host, 40%",
        ),
        (
            "slow host first-slice-0-9: work of the host, 40%",
            "slow host first-slice-0-9: work of the host, 40%",
        ),
        ("waiting for data, 40%", "waiting for data, 40%"),
    ],
)
def test_a_slow_host_has_its_node_and_is_asked_for_once(tmp_path, cause, shown):
    slow = pod("first")
    slow["metadata"] = slow["metadata"] | {"name": "first-slice-0-1", "uid": "uid-slow", "labels": {}}
    slow["spec"] = slow["spec"] | {"nodeName": "n-7"}
    with StreamingServer(jobsets=[jobset("first")], pods=[pod("first"), slow]) as server:
        with feed(server, tmp_path) as following:
            for step in (1, 2, 3):
                server.say(pod("first")["metadata"]["name"], progress(step, predicted=9e9, slow=f'"{cause}"'))
                until(following, lambda views, step=step: views["first"].progress["step"] == step)
            views = until(following, lambda views: views["first"].progress["slow"] == shown)
            assert views["first"].document()["progress"]["slow"] == shown
        asked = [
            asked
            for asked in server.asked
            if asked.plural == "pods" and asked.name.startswith("first-slice-0-") and not asked.is_log
        ]
        assert len(asked) == ("slow host" in cause)
