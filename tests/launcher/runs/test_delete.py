"""`delete` with several names: all of them are deleted, or none."""

import json
from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, failure, jobset
from commands_on_api import Commands

FOREIGN = {"resnet-launch/submitted-by": "somebody-else"}


def serving(*names: str, **annotations: str) -> ApiServer:
    """A server with these runs, from which what is deleted disappears."""

    def deleting(handler: Handler, asked: Asked) -> Any:
        if asked.method == "DELETE":
            runs = server.objects["jobsets"]
            server.objects["jobsets"] = [run for run in runs if run["metadata"]["name"] != asked.name]

    server = ApiServer(deleting, jobsets=[jobset(name) for name in names])
    return server


def left(server: ApiServer) -> list[str]:
    return [run["metadata"]["name"] for run in server.objects["jobsets"]]


@pytest.mark.parametrize("line", ["delete a b --yes", "delete --yes -n default a b", "delete a b a -y"])
def test_several_runs_are_deleted(on_api: Commands, line: str) -> None:
    with serving("a", "b", "c") as server:
        result = on_api(server, line)
        assert (result.code, result.out, left(server)) == (0, ["a deleted", "b deleted"], ["c"])


def test_json_of_one_run_and_of_several(on_api: Commands) -> None:
    with serving("a", "b", "c") as server:
        one = json.loads("\n".join(on_api(server, "delete a --yes --json").out))
        several = json.loads("\n".join(on_api(server, "delete b c --yes --json").out))
    assert one == {"name": "a", "deleted": True, "run_dir": ""}
    assert [row["name"] for row in several] == ["b", "c"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("delete a gone --yes", "no run 'gone' in namespace default"),
        (
            "delete a foreign --yes",
            "yes: must be the run's name to delete the run of somebody-else, got 'none'",
        ),
        ("delete a web --yes", "JobSet 'web' was not made by resnet-launch"),
        ("delete a b", "yes: must be given when stdin is not a terminal"),
        ("delete --yes a b c", "yes: must be the last flag, or the name of one of these runs, got 'a'"),
    ],
)
def test_nothing_is_deleted_where_one_may_not_be(on_api: Commands, line: str, error: str) -> None:
    with serving("a", "b", "c", "foreign", "web") as server:
        runs = {run["metadata"]["name"]: run["metadata"] for run in server.objects["jobsets"]}
        runs["foreign"]["annotations"] |= FOREIGN
        runs["web"]["labels"] = {}
        result = on_api(server, line)
        assert result.code in (1, 2)
        assert error in result.err[0]
        assert left(server) == ["a", "b", "c", "foreign", "web"]


@pytest.mark.parametrize("status", [403, 404, 401])
@pytest.mark.parametrize("line", ["delete a --yes", "delete a b --yes"])
def test_a_refusal_after_the_deletion_says_that_it_was_sent(on_api: Commands, status: int, line: str) -> None:
    """The right to list, or the whole kind, goes once the server has taken the deletion."""

    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.method == "GET" and asked.plural == "jobsets" and deleted:
            return failure(status, "the server could not find the requested resource", "NotFound")
        if asked.method == "DELETE":
            deleted.append(asked.name)
        return None

    deleted: list[str] = []
    with ApiServer(hook, jobsets=[jobset("a"), jobset("b")]) as server:
        result = on_api(server, line)
    names = ", ".join(name for name in "ab" if f" {name} " in line)
    assert result.code == 4
    assert result.out == []
    assert f"error: the deletion of {names} was sent, and what became of it is not known: " in result.err[0]
    assert result.err[1] == "hint: resnet-launch status a shows whether it is gone"


def test_a_refusal_of_the_second_deletion_names_the_first(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.method == "DELETE" and asked.name == "b":
            return failure(
                403, 'User "me" cannot delete resource "jobsets" in API group "x" at the cluster scope'
            )
        return None

    with ApiServer(hook, jobsets=[jobset("a"), jobset("b")]) as server:
        result = on_api(server, "delete a b --yes")
        alone = on_api(server, "delete b --yes")
    assert result.code == 4
    assert "error: the deletion of a was sent" in result.err[0]
    assert alone.code == 1
    assert "was sent" not in alone.err[0]


def test_an_untyped_empty_list_is_no_proof_that_a_run_is_gone(on_api: Commands) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.method == "DELETE":
            deleted.append(asked.name)
        if asked.method == "GET" and asked.plural == "jobsets" and deleted:
            return 200, {}, {"items": []}
        return None

    deleted: list[str] = []
    with ApiServer(hook, jobsets=[jobset("a")]) as server:
        result = on_api(server, "delete a --yes --timeout 2s")
    assert result.code == 4
    assert result.out == []


def test_the_hint_of_a_refusal_deletes_them(on_api: Commands) -> None:
    with serving("a", "b") as server:
        [hint] = [text for text in on_api(server, "delete a b").err if text.startswith("hint: ")]
        assert on_api(server, hint.removeprefix("hint: resnet-launch ")).code == 0
        assert left(server) == []
