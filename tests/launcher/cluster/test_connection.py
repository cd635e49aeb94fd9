"""Answers of proxies, tired API servers and login pages: named, waited for, never taken for success."""

import json
import socket
from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, failure, jobset, pod
from commands_on_api import Commands

SUBMIT = "submit --slice cpu-1x1 --arch resnet18 --image r.io/x:1"
HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please log in</body></html>"
BUSY = "storage is (re)initializing"


def always(*answer: Any) -> Any:
    return lambda handler, asked: answer


def truncated(handler: Handler, asked: Asked) -> bool:
    """Half of an answer, its length stated."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [{"metadata":')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    return handler.cut()


def truncated_cleanly(handler: Handler, asked: Asked) -> bool:
    """Half of an answer, and nothing that says so."""
    return handler.chunks(['{"items": [{"metadata":'])


@pytest.mark.parametrize(
    "line", ["list", "status run", SUBMIT, "wait run --timeout 0", "delete run --yes", "suspend run"]
)
@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (always(200, {"Content-Type": "text/html"}, HTML), "got an HTML page: Sign in Please log in"),
        (always(200, {}, HTML), "got an HTML page: Sign in Please log in"),
        (always(302, {"Location": "/login"}, ""), "got a redirect (302) to /login"),
        (
            always(307, {"Location": "https://sso.example.com"}, ""),
            "a redirect (307) to https://sso.example.com",
        ),
        (always(200, {}, b""), "got an empty body"),
        (always(200, {}, []), "got a JSON list"),
        (always(200, {}, "null"), "got null"),
        (always(200, {}, {"kind": "Greeting"}), "got a Greeting"),
        (always(200, {}, failure(403, "forbidden")[2]), "got a Status: forbidden"),
        (always(200, {}, "hello"), "got text: hello"),
        (always(200, {"Content-Encoding": "gzip"}, b'{"items": []}'), "the cluster's answer is damaged"),
        (truncated, "the cluster's answer is damaged: IncompleteRead(23 bytes read, 4977 more expected)"),
        (truncated_cleanly, "got incomplete JSON: "),
        (always(502, {}, "<html><h1>502 Bad Gateway</h1>cloudflare</html>"), "an HTML page: 502 Bad Gateway"),
        (
            always(403, {}, "<html><h1>403</h1>blocked by the proxy</html>"),
            "an HTML page: 403 blocked by the proxy",
        ),
        (
            always(407, {"Proxy-Authenticate": "Basic"}, "proxy login required"),
            "status 407: proxy login required",
        ),
        (always(*failure(500, "etcdserver: leader changed")), "status 500: etcdserver: leader changed"),
        (always(*failure(401, "Unauthorized")), "the cluster does not know who you are"),
        (always(429, {"Retry-After": "9999"}, "Too many"), "is busy (429): Too many"),
        (always(*failure(503, BUSY)), f"is busy (503): {BUSY}"),
        (
            lambda handler, asked: handler.cut(),
            "does not answer: Remote end closed connection without response",
        ),
    ],
)
def test_what_is_no_answer_is_named(on_api: Commands, line: str, hook: Any, words: str) -> None:
    with ApiServer(hook, jobsets=[jobset()]) as server:
        result = on_api(server, line)
    assert (result.code, result.out) == (4 if line.startswith("wait") else 1, [])
    assert words in result.err[0]
    assert not any("Traceback" in text or "bug" in text for text in result.err)


@pytest.mark.parametrize("line", ["list", "status run", SUBMIT, "delete run --yes", "wait run"])
@pytest.mark.parametrize(
    "answer",
    [
        (429, {"Retry-After": "0"}, failure(429, BUSY)[2]),
        (429, {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}, "Too many requests"),
        (503, {"Retry-After": "0"}, failure(503, "apiserver is shutting down")[2]),
    ],
)
def test_a_busy_server_is_waited_for(on_api: Commands, line: str, answer: Any) -> None:
    with ApiServer(lambda handler, asked: answer if asked.count == 1 else None) as server:
        server.objects["jobsets"] = [jobset(ended="Completed")]
        if line.startswith("delete"):  # it is gone as soon as it was deleted
            delete_run(server)
        assert on_api(server, line).code == 0


def delete_run(server: ApiServer) -> None:
    hook: Any = server.hook

    def deleting(handler: Handler, asked: Asked) -> Any:
        answer = hook(handler, asked)
        if asked.method == "DELETE" and answer is None:
            server.objects["jobsets"] = []
        return answer

    server.hook = deleting


def test_a_list_whose_pages_expire_is_read_again(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.query.get("continue"):
            return failure(410, "The provided continue parameter is too old", "Expired")
        if asked.query.get("limit") and asked.plural == "jobsets":
            metadata = {"resourceVersion": "1", "continue": "abc"}
            return 200, {}, {"kind": "JobSetList", "metadata": metadata, "items": [jobset("first")]}
        return None

    with ApiServer(hook, jobsets=[jobset("first"), jobset("second")]) as server:
        result = on_api(server, "list --json")
    assert [row["name"] for row in json.loads("\n".join(result.out))] == ["first", "second"]


LIST = {"kind": "JobSetList"}


@pytest.mark.parametrize("page", [{**LIST, "items": None, "metadata": {}}, {"kind": "List", "items": []}])
def test_a_list_without_items_or_version_is_empty(on_api: Commands, page: Any) -> None:
    with ApiServer(always(200, {}, page)) as server:
        assert on_api(server, "list") == (0, [], ["no runs in namespace default"])


@pytest.mark.parametrize(
    "page",
    [
        {"items": []},
        {"items": None, "metadata": {}},
        {"kind": "", "items": []},
        {"kind": "Page", "items": []},
    ],
)
def test_an_empty_list_of_nothing_in_particular_is_no_answer(on_api: Commands, page: Any) -> None:
    """It would say that a run is gone, or that none exists."""
    with ApiServer(always(200, {}, page)) as server:
        result = on_api(server, "list")
    assert result.code == 1
    assert "must be a list of jobsets, got" in result.err[0]


def is_apply(asked: Asked) -> bool:
    return asked.method == "PATCH" and asked.plural == "jobsets" and not asked.query.get("dryRun")


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.cut(),
        lambda handler: (200, {}, HTML),
        lambda handler: (200, {}, b""),
        lambda handler: (200, {}, {"kind": "JobSet", "metadata": {"name": "resnet18-cpu-1x1"}}),
        lambda handler: (200, {}, {"kind": "Pod", "metadata": {"name": "resnet18-cpu-1x1", "uid": "u"}}),
        lambda handler: (200, {}, jobset("another")),
        lambda handler: (502, {}, "<html><h1>502 Bad Gateway</h1></html>"),
        lambda handler: (503, {}, "upstream reset"),
        lambda handler: failure(504, "request did not complete within the allowed timeout"),
        lambda handler: failure(500, "etcdserver: request timed out"),
        lambda handler: truncated(handler, handler),  # type: ignore[arg-type]
    ],
)
def test_a_run_that_may_have_been_submitted_is_called_that(on_api: Commands, answer: Any) -> None:
    with ApiServer(lambda handler, asked: answer(handler) if is_apply(asked) else None) as server:
        result = on_api(server, SUBMIT)
        assert sum(map(is_apply, server.asked)) == 1
    assert (result.code, result.out) == (4, [])
    error, hint = result.err[-2:]
    assert error.startswith("error: run 'resnet18-cpu-1x1' may have been submitted: ")
    assert hint == "hint: resnet-launch status resnet18-cpu-1x1"


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "/login"}, ""),
        failure(409, "the object has been modified", "Conflict"),
        failure(403, 'jobsets "x" is forbidden: exceeded quota'),
        (413, {"Content-Type": "text/html"}, "<html><title>413 Request Entity Too Large</title></html>"),
        failure(500, 'failed calling webhook "w.kb.io": context deadline exceeded: timed out'),
    ],
)
def test_a_refused_run_was_not_submitted(on_api: Commands, answer: Any) -> None:
    with ApiServer(lambda handler, asked: answer if is_apply(asked) else None) as server:
        result = on_api(server, SUBMIT)
    assert (result.code, result.out) == (1, [])
    assert "may have been" not in "".join(result.err)


def test_the_loser_of_two_launchers_is_told_that_the_name_is_in_use(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if not is_apply(asked):
            return None
        assert asked.body["metadata"]["resourceVersion"] == "1"
        server.objects["jobsets"] = [jobset("resnet18-cpu-1x1")]
        return failure(409, "Operation cannot be fulfilled: the object has been modified", "Conflict")

    with ApiServer(hook) as server:
        result = on_api(server, SUBMIT)
    assert (result.code, result.out) == (2, [])
    assert result.err[-2].startswith("error: name: must be new, got 'resnet18-cpu-1x1', a run that is")


def test_a_request_that_was_never_sent_is_not_in_doubt(on_api: Commands) -> None:
    with ApiServer() as server:
        pass
    result = on_api(server, "delete run --yes")
    assert result.code == 1
    assert "cannot be reached: " in result.err[0]
    assert "may have been" not in "".join(result.err)


def test_warnings_of_the_server_are_shown_once(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        items: Any = server.objects.get(asked.plural)
        page = {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}
        return None if asked.name else (200, {"Warning": '299 - "v1beta1 is \\"old\\"\x1b[2J"'}, page)

    with ApiServer(hook, jobsets=[jobset()], pods=[pod(0), pod(1)]) as server:
        result = on_api(server, "status run")
    assert result.code == 0
    assert result.err == ['warning: the cluster says: v1beta1 is "old"\\x1b[2J']


def test_an_odd_object_is_named_and_the_others_are_shown(on_api: Commands) -> None:
    odd = jobset("odd")
    del odd["metadata"]["creationTimestamp"]
    half = jobset("half")
    half["status"]["restarts"] = "many"
    stranger = jobset("stranger")
    del stranger["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"]
    with ApiServer(jobsets=[odd, half, stranger, 5, None, jobset()]) as server:
        page = {"kind": "JobSetList", "metadata": {}, "items": server.objects["jobsets"]}
        server.hook = lambda handler, asked: (200, {}, page) if asked.plural == "jobsets" else None
        result = on_api(server, "list --json")
    assert result.code == 0
    rows = {row["name"]: row["hosts"] for row in json.loads("\n".join(result.out))}
    assert rows == {"half": 2, "stranger": 1, "run": 2}
    assert result.err == [
        f"warning: a JobSet{text}"
        for text in (
            " named 'odd': metadata.creationTimestamp is missing: the object is left out",
            " named 'half': status.restarts must be a number of at least 0, got text 'many': left out",
            ": the object must be a mapping, got a whole number: the object is left out",
            ": the object must be a mapping, got null: the object is left out",
        )
    ]
