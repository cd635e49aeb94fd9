"""`logs` and `logs -f` against the answers of a bad day: no line lost, doubled or invented."""

import itertools
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from api_server import Answer, ApiServer, Asked, Handler, failure, jobset, pod
from commands_on_api import Commands

POD = "run-slice-0-0-a0"


def at(second: int, text: str) -> str:
    return f"2026-01-01T00:00:{second:02d}.5Z {text}\n"


def event(change: str, obj: Any) -> str:
    return json.dumps({"type": change, "object": obj}) + "\n"


ONE, TWO, THREE = (at(second, f"line {second}") for second in (1, 2, 3))
ALL = [ONE, TWO, THREE]
SHOWN = ["slice-0-0 | line 1", "slice-0-0 | line 2", "slice-0-0 | line 3"]
HTML = "<!DOCTYPE html><html><title>Sign in</title><body>Please log in</body></html>"


def followed(
    on_api: Commands,
    *answers: Callable[[Handler], Any],
    line: str = "logs -f run",
    end: int = 0,
    **objects: Any,
) -> Any:
    """Run `logs -f` where the first log requests get these answers, and later ones the last.

    The run and its container have ended once every answer was given, and `end` more.
    """
    numbers = itertools.count()

    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.is_log:
            number = next(numbers)
            if number >= len(answers) - 1 + end:
                server.objects |= {"jobsets": [jobset(hosts=1, ended="Completed")], "pods": [pod(ended=True)]}
            return answers[min(number, len(answers) - 1)](handler)
        return None

    server = ApiServer(hook, jobsets=[jobset(hosts=1)], pods=[pod()])
    with server:
        return on_api(server, "logs -f run")


def lines(*parts: str, whole: bool = True) -> Callable[[Handler], Any]:
    return lambda handler: handler.chunks(parts, whole)


def answer(*parts: Any) -> Callable[[Handler], Any]:
    return lambda handler: parts


@pytest.mark.parametrize(
    "first",
    [
        lines(ONE),
        lines(ONE, whole=False),
        lines(),
        lines(whole=False),
        lambda handler: handler.cut(),
        lines("failed to create fsnotify watcher: too many open files"),
        lines(ONE, "failed to create fsnotify watcher: too many open files"),
        lines("unable to retrieve container logs for containerd://abc"),
        lines("\n"),
        lines(ONE, "\n\n"),
        lines(ONE, TWO[:12]),
        lines(ONE, TWO[:31], whole=False),
        lines(ONE, TWO[:-1]),
        lines(HTML),
        answer(200, {"Content-Type": "text/html"}, HTML),
        answer(302, {"Location": "/login"}, ""),
        answer(500, {}, "Get https://10.0.0.1:10250/containerLogs/x: dial tcp 10.0.0.1:10250: i/o timeout"),
        answer(*failure(400, 'container "trainer" in pod "x" is waiting to start: ContainerCreating')),
        answer(404, {"Content-Type": "text/plain"}, "404 page not found\n"),
        answer(*failure(500, "etcdserver: leader changed")),
        answer(429, {"Retry-After": "0"}, "Too many requests"),
        answer(502, {"Content-Type": "text/html"}, "<html><h1>502 Bad Gateway</h1></html>"),
    ],
)
def test_a_stream_that_ends_before_its_container_is_opened_again(on_api: Commands, first: Any) -> None:
    assert followed(on_api, first, lines(*ALL)) == (0, SHOWN, [])


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ([at(1, "a")], [at(1, "a"), at(1, "b"), at(2, "c")], "abc"),
        ([at(9, "a")], [at(9, "a"), at(3, "b"), at(4, "c")], "abc"),
        ([at(1, "a"), at(1, "a")], [at(1, "a"), at(1, "a"), at(1, "a")], "aaa"),
        (["2026-01-01T02:00:01.5+02:00 a\n"], ["2026-01-01T02:00:01.5+02:00 a\n", at(2, "b")], "ab"),
    ],
)
def test_lines_are_told_by_their_sequence(on_api: Commands, before: Any, after: Any, shown: str) -> None:
    result = followed(on_api, lines(*before, whole=False), lines(*after))
    assert (result.code, result.out) == (0, [f"slice-0-0 | {text}" for text in shown])


def test_words_of_the_kubelet_are_no_lines_of_the_log(on_api: Commands) -> None:
    words = "unable to retrieve container logs for containerd://abc"
    result = followed(on_api, lines(words), end=9)
    assert (result.code, result.out) == (4, [])
    assert result.err[0] == f"warning: slice-0-0: its log cannot be read: {words}; trying again"
    assert result.err[-1] == f"error: the log could not be read to its end: slice-0-0: {words}"
    result = followed(on_api, lines(ONE, "kubelet was here\n", TWO, THREE))
    assert (result.code, result.out) == (0, SHOWN)
    assert result.err == ["warning: slice-0-0: in its log, without a time: kubelet was here"]


def test_a_last_line_without_a_break_is_shown_once_it_is_the_last(on_api: Commands) -> None:
    assert followed(on_api, lines(ONE, TWO, THREE[:-1])) == (0, SHOWN, [])


def test_a_container_that_has_ended_is_read_again_until_nothing_is_new(on_api: Commands) -> None:
    """The first connection after its end is cut cleanly by a proxy."""
    assert followed(on_api, lines(ONE), lines(ONE, TWO), lines(*ALL), end=-1) == (0, SHOWN, [])


def test_a_pod_that_is_gone_ends_its_stream_and_its_successor_is_followed(on_api: Commands) -> None:
    """Pods of three attempts; the watch brings what an API server sends, bookmarks and nonsense included."""
    changes = itertools.count()
    read = [threading.Event() for _ in range(3)]

    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.is_log:
            number = int(asked.name[-1])
            read[number].set()
            return handler.chunks([at(10 * number + 1, f"attempt {number}")])
        if asked.plural == "pods" and asked.query.get("watch"):
            number = next(changes)
            read[min(number, 2)].wait(10)
            old, new = pod(attempt=number), pod(attempt=number + 1)
            if number == 2:
                server.objects["jobsets"] = [jobset(hosts=1, ended="Failed")]
            if number > 1:
                return None
            server.objects["pods"] = [new]
            bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "12"}}
            return handler.chunks(
                [
                    "\n",
                    event("BOOKMARK", bookmark),
                    event("DELETED", old),
                    event("ADDED", new),
                    '{"type": "ADD',
                ],
            )
        return None

    with ApiServer(hook, jobsets=[jobset(hosts=1)], pods=[pod()]) as server:
        result = on_api(server, "logs -f run")
    assert result.code == 0
    assert sorted(result.out) == [
        "slice-0-0 | attempt 0",
        "slice-0-0.r1 | attempt 1",
        "slice-0-0.r2 | attempt 2",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        failure(404, 'pods "x" not found', "NotFound"),
        failure(500, "the node does not answer"),
        lambda handler: handler.chunks([ONE], whole=False),
    ],
    ids=["not found", "no node", "cut"],
)
def test_a_pod_that_is_gone_before_its_log_was_read_is_no_success(on_api: Commands, reply: Any) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.is_log:
            read.set()
            return reply(handler) if callable(reply) else reply
        if asked.plural == "pods" and asked.query.get("watch"):
            read.wait(10)
            server.objects |= {"pods": [], "jobsets": [jobset(hosts=1, ended="Completed")]}
            return handler.chunks([event("DELETED", pod())])
        return None

    read = threading.Event()
    with ApiServer(hook, jobsets=[jobset(hosts=1)], pods=[pod()]) as server:
        result = on_api(server, "logs -f run")
    assert result.code == 4
    gone = "its pod is gone, and the last lines of its log may be missing"
    assert f"error: the log could not be read to its end: slice-0-0: {gone}" in result.err


def test_many_hosts(on_api: Commands) -> None:
    hosts = 40
    logs = {pod(host)["metadata"]["name"]: [at(1, f"{host}a"), at(2, f"{host}b")] for host in range(hosts)}

    def hook(handler: Handler, asked: Asked) -> Any:
        if not asked.is_log:
            return None
        if asked.count == 1:
            return handler.chunks(logs[asked.name][: int(asked.name.split("-")[3]) % 3], whole=False)
        with server.lock:
            server.objects["pods"] = [pod(host, ended=True) for host in range(hosts)]
            server.objects["jobsets"] = [jobset(hosts=hosts, ended="Completed")]
        return handler.chunks(logs[asked.name])

    with ApiServer(hook, jobsets=[jobset(hosts=hosts)], pods=[pod(host) for host in range(hosts)]) as server:
        result = on_api(server, "logs -f run")
    assert result.code == 0
    expected = [f"slice-0-{host} | {host}{letter}" for host in range(hosts) for letter in "ab"]
    assert sorted(result.out) == sorted(expected)


@pytest.mark.parametrize(
    "fault", [AttributeError("by design"), KeyError("by design"), ValueError("by design")]
)
def test_an_exception_in_a_thread_ends_the_command(
    on_api: Commands, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("launcher.runs.logs._origin", fail)
    result = followed(on_api, lines(*ALL))
    assert (result.code, result.out) == (4, [])
    assert result.err[0].startswith("error: this is a bug in resnet-launch: ")


def test_rights_that_are_missing_end_it(on_api: Commands) -> None:
    text = (
        'pods "x" is forbidden: User "jo" cannot get resource "pods/log" in API group "" in the namespace "n"'
    )
    result = followed(on_api, answer(*failure(403, text, "Forbidden")))
    assert (result.code, result.out) == (4, [])
    assert "jo may not get pods/log" in result.err[0]


@pytest.mark.parametrize("verb", ["logs", "logs -f"])
def test_a_host_that_the_run_does_not_have(on_api: Commands, verb: str) -> None:
    with ApiServer(jobsets=[jobset(hosts=2)], pods=[pod(0), pod(1)]) as server:
        assert on_api(server, f"{verb} run --host 9") == (
            2,
            [],
            ["error: host: must be 0 to 1, got 9", "hint: each slice of the run has 2 hosts"],
        )
        assert (
            on_api(server, f"{verb} run --host 3-0").err[0]
            == "error: host: must be on slice 0 to 0, got slice 3"
        )


def test_a_run_without_started_hosts_says_so(on_api: Commands) -> None:
    words = ["warning: no host of run 'run' has started: resnet-launch status run shows why"]
    with ApiServer(jobsets=[jobset()], pods=[pod(started=False)]) as server:
        assert on_api(server, "logs run") == (0, [], words)
    with ApiServer(jobsets=[jobset(ended="Completed")]) as server:
        assert on_api(server, "logs -f run") == (0, [], words)


def test_a_snapshot_reads_again_what_did_not_come_through(on_api: Commands) -> None:
    answers: dict[int, Answer | None] = {
        1: (500, {}, "no"),
        2: (200, {}, ONE + TWO[:20]),
        3: (200, {"Content-Type": "text/html"}, HTML),
    }

    def hook(handler: Handler, asked: Asked) -> Any:
        return answers.get(asked.count) if asked.is_log and asked.name == POD else None

    with ApiServer(hook, jobsets=[jobset()], pods=[pod(0), pod(1)]) as server:
        server.logs = {POD: "".join(ALL), "run-slice-0-1-a0": ONE}
        result = on_api(server, "logs run")
    assert result == (0, [*SHOWN, "slice-0-1 | line 1"], [])


def test_a_dead_node_does_not_hide_the_other_hosts(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        return failure(500, "dial tcp: i/o timeout") if asked.is_log and asked.name == POD else None

    with ApiServer(hook, jobsets=[jobset()], pods=[pod(0), pod(1)]) as server:
        server.logs["run-slice-0-1-a0"] = ONE
        result = on_api(server, "logs run")
    assert (result.code, result.out) == (1, ["slice-0-1 | line 1"])
    assert result.err[-1] == "error: the logs of 1 of 2 hosts could not be read to their end"
    assert "dial tcp: i/o timeout" in result.err[0]


@pytest.mark.parametrize(
    ("flags", "terminal", "shown"),
    [
        ("", True, "slice-0-0 | step 40/269  loss 2.21"),
        ("", False, "slice-0-0 | progress step=40 steps=269 loss=2.2123"),
        ("--raw", True, "slice-0-0 | progress step=40 steps=269 loss=2.2123"),
        (
            "--json",
            True,
            '{"slice": 0, "host": 0, "restart": 0, "text": "progress step=40 steps=269 loss=2.2123"}',
        ),
    ],
)
@pytest.mark.parametrize("verb", ["logs", "logs -f"])
def test_a_terminal_shows_sentences(
    on_api: Commands, monkeypatch: pytest.MonkeyPatch, verb: str, flags: str, terminal: bool, shown: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with ApiServer(jobsets=[jobset(hosts=1, ended="Completed")], pods=[pod(ended=True)]) as server:
        server.logs[POD] = at(1, "progress step=40 steps=269 loss=2.2123")
        assert on_api(server, f"{verb} run {flags}").out == [shown]


def test_a_command_that_has_ended_asks_nothing_more(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.plural == "pods":
            return failure(403, "pods is forbidden", "Forbidden")
        return handler.chunks([]) if asked.query.get("watch") else None

    with ApiServer(hook, jobsets=[jobset(hosts=1)]) as server:
        assert on_api(server, "logs -f run").code == 4
        readers = [thread for thread in threading.enumerate() if thread.name == "logs"]
        before = len(server.asked)
        for reader in readers:
            reader.join(30)
        assert not any(reader.is_alive() for reader in readers)
        assert len(server.asked) - before <= len(readers)  # requests that were under way
