"""A program of the user's own on an API server: submitted, replaced, listed, or refused before that."""

from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, jobset
from commands_on_api import Commands

SUBMIT = "submit --slice cpu-1x1 --command true --image r.io/x:1 --name run"


def applied(server: ApiServer) -> list[Any]:
    return [
        asked.body
        for asked in server.asked
        if asked.method == "PATCH" and asked.plural == "jobsets" and not asked.query.get("dryRun")
    ]


def container(body: Any) -> Any:
    return body["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]


def deleting(handler: Handler, asked: Asked) -> None:
    if asked.method == "DELETE":
        server = handler.server.api  # pyright: ignore
        server.objects["jobsets"] = []


def test_it_is_submitted_like_any_run(on_api: Commands) -> None:
    with ApiServer() as server:
        result = on_api(server, f"{SUBMIT} --exit-codes preempted=75")
        [body] = applied(server)
    assert (result.code, result.out) == (0, ["run"])
    assert "command true" in result.err
    assert container(body)["command"] == ["true"]
    assert body["metadata"]["annotations"]["resnet-launch/exit-codes"] == "preempted=75"
    assert "resnet-launch/arch" not in body["metadata"]["annotations"]


def test_it_replaces_a_run_of_the_trainer_and_the_other_way_round(on_api: Commands) -> None:
    for line in (f"{SUBMIT} --replace", SUBMIT.replace("--command true", "--arch resnet18") + " --replace"):
        with ApiServer(deleting, jobsets=[jobset()]) as server:
            assert on_api(server, line).code == 0
            assert len(applied(server)) == 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (SUBMIT.replace(" --name run", ""), "name: must be given with command"),
        (SUBMIT.replace("true", "'a"), "command: must be a command whose quotes are closed (no closing"),
        (f"{SUBMIT} --arch resnet18", "command: must be left out with arch, got both (arch resnet18)"),
        (f"{SUBMIT} --data digits", "data: must be left out with command: only the trainer reads it"),
        (f"{SUBMIT} --exit-codes fatal=x", "exit-codes: must have exit codes from 1 to 255 for fatal, got"),
        (SUBMIT, "name: must be new, got 'run', a run that is"),
    ],
)
def test_nothing_is_submitted_for_bad_input(on_api: Commands, line: str, error: str) -> None:
    with ApiServer(jobsets=[jobset()]) as server:
        result = on_api(server, line)
        assert applied(server) == []
    assert (result.code, result.out) == (2, [])
    assert f"error: {error}" in "\n".join(result.err)


def test_it_is_listed_with_its_command(on_api: Commands) -> None:
    run = jobset()
    del run["metadata"]["annotations"]["resnet-launch/arch"]
    container(run)["command"] = ["python", "train.py"]
    with ApiServer(jobsets=[run]) as server:
        heading, row = on_api(server, "list").out
        status = on_api(server, "status run").out
    assert "PROGRAM" in heading.upper()
    assert "python train.py" in row
    assert "  command       python train.py" in status
