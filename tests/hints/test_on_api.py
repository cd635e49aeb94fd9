"""Hints of commands that speak to a cluster: provoked on a small API server, followed, and leading on."""

import shlex
from typing import Any

import pytest
from api_cases import CASES
from api_server import ApiServer, Asked, Handler
from cases import Case


def storing(**objects: Any) -> ApiServer:
    """A server that has these kinds only, and from which what is deleted disappears."""

    def deleting(handler: Handler, asked: Asked) -> Any:
        if asked.method == "DELETE":
            left = [run for run in server.objects["jobsets"] if run["metadata"]["name"] != asked.name]
            server.objects["jobsets"] = left
        if asked.plural.endswith(("queues", "classes")) and asked.plural not in objects:
            return 404, {"Content-Type": "text/plain"}, "404 page not found"
        return None

    server = ApiServer(deleting, **objects)
    return server


@pytest.mark.parametrize(("case", "objects"), CASES, ids=[str(case) for case, _ in CASES])
def test_a_hint_leads_on(case: Case, objects: dict[str, Any], on_api) -> None:
    with storing(**objects) as server:
        result = on_api(server, case.line)
        assert result.code in (1, 2, 3), result
        hint = case.printed(result.err)
        following = case.follow(case.line.split(), hint)
        result = on_api(server, shlex.join(following))
        assert result.code == 0, (following, result)
