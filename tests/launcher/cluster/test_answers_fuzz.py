"""Thousands of answers with fields missing, null or of another type: no traceback, and no success claimed."""

import contextlib
import copy
import io
import json
from typing import Any

import commands_on_api
import pytest
from api_server import ApiServer, Asked, Handler, jobset, now, pod
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.cli import main
from launcher.cluster.api import Cluster

NAME = "resnet18-cpu-2x1"
SUBMIT = "submit --slice cpu-2x1 --arch resnet18 --image r.io/x:1"
# verb -> examples. A command asks up to eight times, so this is more than 5,000 answers.
LINES = {
    "list": 200,
    f"status {NAME}": 700,
    f"wait {NAME} --timeout 0": 200,
    f"logs {NAME}": 150,
    f"logs -f {NAME}": 40,
    f"suspend {NAME}": 150,
    f"resume {NAME}": 100,
    f"delete {NAME} --yes --timeout 1s": 100,
    SUBMIT: 130,
}
GONE = object()
ODD = st.sampled_from(
    [
        GONE,
        None,
        5,
        -1,
        10**30,
        2.5,
        True,
        "",
        "text",
        "2026-99-99T00:00:00Z",
        [],
        {},
        [None],
        [5],
        {"a": None},
    ]
)
CHANGE = st.tuples(st.integers(0, 7), st.lists(st.integers(0, 30), max_size=9), ODD)
STATE = st.sampled_from(["", "Completed", "Failed", "suspended", "queued", "deleting"])
SETTINGS = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
asked_in_all = 0


def changed(answer: Any, path: list[int], odd: Any) -> Any:
    """Return the answer with the value at a path replaced or removed; the path chooses among its keys."""
    if not path or not isinstance(answer, dict | list) or not answer:
        return answer if odd is GONE else odd
    keys = [*answer] if isinstance(answer, dict) else [*range(len(answer))]
    key = keys[path[0] % len(keys)]
    inner = answer[key]
    if len(path) > 1 and isinstance(inner, dict | list) and inner:
        answer[key] = changed(inner, path[1:], odd)
    elif odd is GONE:
        del answer[key]
    else:
        answer[key] = odd
    return answer


class Odd:
    """A server of one run, some of whose answers to a command are changed."""

    def __init__(self) -> None:
        self.server = ApiServer(self.hook)
        self.changes: list[Any] = []
        self.sent: list[tuple[Asked, Any]] = []
        self.lines: set[str] = set()  # that were tried

    def begin(self, state: str, changes: list[Any]) -> None:
        run = jobset(NAME, ended=state if state in ("Completed", "Failed") else "")
        run["metadata"]["labels"] |= {"kueue.x-k8s.io/queue-name": "q"} if state == "queued" else {}
        run["metadata"] |= {"deletionTimestamp": now()} if state == "deleting" else {}
        run["spec"]["suspend"] = state in ("suspended", "queued")
        pods = [pod(0, run=NAME, ended=state == "Completed"), pod(1, run=NAME, started=state != "")]
        owner = {"kind": "JobSet", "name": NAME, "uid": run["metadata"]["uid"]}
        waits = {"type": "QuotaReserved", "status": "False", "message": "no room", "reason": "Pending"}
        workload = {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "metadata": {
                "name": "w",
                "uid": "uid-w",
                "creationTimestamp": now(60),
                "ownerReferences": [owner],
            },
            "spec": {"queueName": "q", "active": True},
            "status": {"conditions": [waits]},
        }
        about = {"kind": "Pod", "name": pods[0]["metadata"]["name"], "uid": pods[0]["metadata"]["uid"]}
        event = {
            "metadata": {"name": "e", "namespace": "default", "uid": "uid-e"},
            "involvedObject": about,
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "no",
            "lastTimestamp": now(),
        }
        self.server.objects |= {"jobsets": [run], "pods": pods, "events": [event], "workloads": [workload]}
        self.server.logs = {
            pods[0]["metadata"][
                "name"
            ]: "2026-01-01T00:00:01Z progress step=1 loss=2\nprogress step=x eta_seconds=\n"
        }
        self.changes, self.sent = changes, []

    def hook(self, handler: Handler, asked: Asked) -> Any:
        if asked.method == "DELETE":
            self.server.objects |= {"jobsets": [], "pods": []}
        if asked.query.get("watch"):
            return None
        answer: Any = copy.deepcopy(self.server.ordinary(handler, asked))
        status, headers, body = answer
        for number, path, odd in self.changes:
            if number == len(self.sent):
                body = changed(body, path, odd if odd is GONE else copy.deepcopy(odd))
        self.sent.append((asked, body))
        return status, headers, body


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    it = Odd()
    with it.server as server, pytest.MonkeyPatch.context() as patch:
        commands_on_api.quick(patch)
        patch.setattr("launcher.cluster.connection.PAUSES", (0.0,))
        patch.setattr("launcher.runs.logs.DRAIN_SECONDS", 0.05)
        patch.setattr("launcher.runs.logs.POLL_SECONDS", 0.01)
        patch.setattr("launcher.runs.host_log.PAUSES", (0.0, 0.01))
        patch.setattr("launcher.runs.watch.RETRY_SECONDS", (0.01,))
        patch.setattr("api_server.MAX_WATCH_SECONDS", 0.02)
        folder = tmp_path_factory.mktemp("odd")
        patch.chdir(folder)
        # One client for all commands: logging in takes longer than all that they ask.
        client = Cluster(kubeconfig=str(server.kubeconfig(folder)))
        patch.setattr("launcher.cli.target.cluster", lambda *_: client)
        yield it


def run(line: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line.split())
    return code, out.getvalue(), err.getvalue()


def is_stored(body: Any) -> bool:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    fits = (
        isinstance(metadata, dict) and metadata.get("name") == NAME and isinstance(metadata.get("uid"), str)
    )
    return fits and bool(metadata["uid"]) and body.get("kind") == "JobSet"


@pytest.mark.parametrize(("line", "examples"), LINES.items(), ids=[line.split()[0] for line in LINES])
def test_an_odd_answer_is_no_bug_and_no_success(odd: Odd, line: str, examples: int) -> None:
    odd.lines.add(line)

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(STATE, st.lists(CHANGE, min_size=1, max_size=3))
    def check(state: str, changes: list[Any]) -> None:
        global asked_in_all
        # A run that never ends is followed for ever.
        odd.begin("Completed" if line.startswith("logs -f") else state, changes)
        if line == SUBMIT:
            odd.server.objects["jobsets"] = []
        code, out, err = run(line)
        asked_in_all += len(odd.sent)
        assert code in (0, 1, 2, 3, 4)
        assert "Traceback" not in err, err
        assert "this is a bug" not in err, err
        assert code == 0 or err or out, "a failure says why"
        if line == SUBMIT and code == 0:
            applied = [
                body for asked, body in odd.sent if asked.method == "PATCH" and not asked.query.get("dryRun")
            ]
            assert is_stored(applied[-1])
        if line.startswith("delete") and code == 0:
            assert any(asked.method == "DELETE" for asked, _ in odd.sent)
        if line.startswith("wait") and code == 0:
            assert '"Completed"' in json.dumps([body for _, body in odd.sent])
        if out.strip() in (f"{NAME} suspended", f"{NAME} resumed"):
            assert any(asked.method == "PATCH" for asked, _ in odd.sent)

    check()


def test_there_were_enough_of_them(odd: Odd) -> None:
    if len(odd.lines) < len(LINES):
        pytest.skip("needs the answers of all other tests of this module")
    assert asked_in_all > 5000
