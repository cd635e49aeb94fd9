"""Credentials that run out, plugins that fail, tokens that are no header."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, failure, jobset, pod
from commands_on_api import Commands


class Expiring:
    """A server that accepts the newest token only; tokens are numbers, and the next one is to be had."""

    def __init__(self, requests: int) -> None:
        self.newest, self._requests, self._numbers = 0, requests, itertools.count(1)
        self.server = ApiServer(self.hook, jobsets=[jobset(hosts=1)], pods=[pod()])

    def hook(self, handler: Handler, asked: Asked) -> Any:
        number = next(self._numbers)
        if number == self._requests:
            self.expire()
        if number >= 2 * self._requests:
            self.server.objects |= {
                "jobsets": [jobset(hosts=1, ended="Completed")],
                "pods": [pod(ended=True)],
            }
        if asked.headers.get("authorization") != f"Bearer {self.newest}":
            return failure(401, "Unauthorized", "Unauthorized")
        return None

    def expire(self) -> None:
        self.newest += 1


def plugin(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(path), "interactiveMode": "Never"}}


def counting(folder: Path, fail_from: int = 99) -> dict[str, Any]:
    """A plugin that returns 0, 1, 2, … and fails from a call on."""
    status = '"status":{"token":"\'$n\'"}'
    return plugin(
        folder,
        f"n=$(cat {folder}/n 2>/dev/null || echo 0); echo $((n+1)) > {folder}/n\n"
        f'[ $n -ge {fail_from} ] && {{ echo "network is down" >&2; exit 1; }}\n'
        f'echo \'{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",{status}}}\'',
    )


def problems(lines: list[str]) -> list[str]:
    """What is printed beside the state of the run."""
    return [line for line in lines if line != "run is running"]


@pytest.mark.parametrize("line", ["wait run --timeout 30s", "logs -f run"])
def test_a_plugin_is_run_again_on_401(on_api: Commands, tmp_path: Path, line: str) -> None:
    expiring = Expiring(4)
    with expiring.server as server:
        result = on_api(server, line, **counting(tmp_path))
    assert (result.code, problems(result.err)) == (0, [])
    assert (tmp_path / "n").read_text().strip() == "2"


@pytest.mark.parametrize("line", ["wait run --timeout 30s", "logs -f run"])
def test_a_token_file_is_read_again_on_401(on_api: Commands, tmp_path: Path, line: str) -> None:
    token, expiring = tmp_path / "token", Expiring(4)
    token.write_text("0\n")  # files end with a line break
    expire = expiring.expire
    expiring.expire = lambda: (expire(), token.write_text("1\n"))  # type: ignore[method-assign]
    with expiring.server as server:
        result = on_api(server, line, tokenFile=str(token))
    assert (result.code, problems(result.err)) == (0, [])


@pytest.mark.parametrize("line", ["wait run --timeout 30s", "logs -f run"])
def test_credentials_that_cannot_be_renewed_leave_the_end_unknown(
    on_api: Commands, tmp_path: Path, line: str
) -> None:
    with Expiring(4).server as server:
        result = on_api(server, line, **counting(tmp_path, fail_from=1))
    assert result.code == 4
    assert "the credentials could not be renewed: " in problems(result.err)[0]
    assert "network is down" in problems(result.err)[0]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("echo no network >&2; exit 3", "process returned 3. no network"),
        ("echo hello", "failed to decode process output"),
        ("echo '{}'", "malformed response. missing key 'apiVersion'"),
        (
            'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{}}\'',
            "missing token or clientCertificateData field in plugin output",
        ),
    ],
)
def test_a_plugin_that_fails_is_named_and_nobody_asks(
    on_api: Commands, tmp_path: Path, text: str, cause: str
) -> None:
    with ApiServer() as server:
        result = on_api(server, "list", **plugin(tmp_path, text))
        assert server.asked == []
    assert result.code == 1
    assert f"the credential plugin {tmp_path}/plugin of the kubeconfig failed: " in result.err[0]
    assert cause in result.err[0]


@pytest.mark.parametrize("name", ["azure", "openstack", "nonsense"])
def test_an_auth_provider_that_is_not_there_is_named(on_api: Commands, name: str) -> None:
    with ApiServer() as server:
        result = on_api(server, "list", **{"auth-provider": {"name": name, "config": {}}})
        assert server.asked == []
    assert (result.code, result.out) == (1, [])
    assert f"the auth provider '{name}' of the kubeconfig gave no credentials" in result.err[0]


@pytest.mark.parametrize("token", ["a\nb", "a\x00b", "tökén"])
def test_a_token_that_cannot_be_sent(on_api: Commands, token: str) -> None:
    with ApiServer() as server:
        result = on_api(server, "list", token=token)
    assert (result.code, result.out) == (1, [])
    assert result.err[0].startswith("error: the token of the kubeconfig must be one line of ASCII characters")
