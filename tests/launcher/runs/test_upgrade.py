"""Lines that a pod of version 0.1.0 printed (earlier-0.1.0.log), read by this version."""

import json
from pathlib import Path

from api_server import Answer, ApiServer, Asked, Handler, jobset, pod
from commands_on_api import Commands

LINES = (Path(__file__).parent / "earlier-0.1.0.log").read_text().splitlines()


def earlier_run(ended: str = "") -> ApiServer:
    stamped = [f"2026-01-01T00:00:{second:02d}.5Z {line}" for second, line in enumerate(LINES)]

    def hook(handler: Handler, asked: Asked) -> Answer | None:
        lines = stamped if asked.query.get("timestamps") == "true" else LINES
        return (200, {"Content-Type": "text/plain"}, "\n".join([*lines, ""])) if asked.is_log else None

    return ApiServer(hook, jobsets=[jobset(hosts=1, ended=ended)], pods=[pod(ended=bool(ended))])


def test_the_status_of_an_earlier_run_has_its_progress(on_api: Commands) -> None:
    with earlier_run() as server:
        result = on_api(server, "status run --json")
    assert result.code == 0, result.err
    document = json.loads("\n".join(result.out))
    assert document["progress"]["step"] == 14
    assert document["progress"]["steps"] == 14
    assert document["progress"]["loss"] == 2.30343


def test_an_earlier_run_is_followed_to_its_end(on_api: Commands) -> None:
    with earlier_run("Completed") as server:
        result = on_api(server, "logs -f run")
        waited = on_api(server, "wait run")
    assert result.code == 0, result.err
    assert result.out == [f"slice-0-0 | {line}" for line in LINES]
    assert waited.code == 0, waited.err
    assert "13.33" in str(waited), waited
