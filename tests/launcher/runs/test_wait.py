"""`wait` and what all verbs share at the edges: outages, interruptions, terminals that lack characters."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, failure, jobset, pod
from commands_on_api import Commands


def event(change: str, obj: Any) -> str:
    return json.dumps({"type": change, "object": obj}) + "\n"


@pytest.mark.parametrize(
    "changes",
    [
        ["\n", event("BOOKMARK", {"kind": "JobSet", "metadata": {"resourceVersion": "7"}})],
        [event("ERROR", failure(410, "too old resource version", "Expired")[2])],
        [event("ERROR", failure(500, "etcdserver: leader changed")[2])],
        ["<html><title>Sign in</title></html>"],
        ['{"type": "MODIF'],
        [event("MODIFIED", None), "{}\n", "[]\n", "5\n"],
        [event("MODIFIED", {"kind": "JobSet"})],
        [event("MODIFIED", jobset() | {"status": {"conditions": "over"}})],
        [event("MODIFIED", jobset())],
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_watch_that_brings_nonsense_is_renewed(on_api: Commands, changes: list[str], whole: bool) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.plural != "jobsets" or not asked.query.get("watch"):
            return None
        server.objects["jobsets"] = [jobset(ended="Completed")]
        return handler.chunks(changes, whole)

    with ApiServer(hook, jobsets=[jobset()]) as server:
        result = on_api(server, "wait run --timeout 20s")
    assert (result.code, result.out) == (0, ["run completed"])


@pytest.mark.parametrize(
    ("ended", "code", "out"),
    [("Completed", 0, ["run completed"]), ("Failed", 1, ["run failed: jobset failed"])],
)
def test_the_end_of_a_run(on_api: Commands, ended: str, code: int, out: list[str]) -> None:
    with ApiServer(jobsets=[jobset(ended=ended)]) as server:
        result = on_api(server, "wait run")
    assert (result.code, result.out) == (code, out)


def test_a_run_that_is_not_over_in_time_or_not_there(on_api: Commands) -> None:
    with ApiServer(jobsets=[jobset()]) as server:
        assert on_api(server, "wait run --timeout 0").code == 3
        assert on_api(server, "wait other --timeout 0").code == 1


@pytest.mark.parametrize("line", ["wait run --timeout 60s", "wait run --timeout 2s", "logs -f run"])
def test_a_server_that_stays_away_leaves_the_end_unknown(
    on_api: Commands, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr("launcher.runs.watch.UNREACHABLE_SECONDS", 0.5)

    def hook(handler: Handler, asked: Asked) -> Any:
        return handler.cut() if len(server.asked) > 6 else None

    with ApiServer(hook, jobsets=[jobset()], pods=[pod()]) as server:
        result = on_api(server, line)
    assert (result.code, result.out) == (4, [])
    assert result.err[-1].startswith("hint: ") or "is not known: " in result.err[-1]
    assert "error: what became of run 'run' is not known: " in "\n".join(result.err)


def command(server: ApiServer, folder: Path, *words: str, **environ: str) -> subprocess.Popen[bytes]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RESNET_", "KUBE"))}
    line = [sys.executable, "-m", "launcher", *words, "--kubeconfig", str(server.kubeconfig(folder))]
    return subprocess.Popen(line, stdout=-1, stderr=-1, env=kept | environ)


def test_ctrl_c_leaves_the_end_unknown(tmp_path: Path) -> None:
    with ApiServer(jobsets=[jobset()]) as server:
        process = command(server, tmp_path, "wait", "run")
        while not any(asked.query.get("watch") for asked in server.asked):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, b"")
    assert err.decode().splitlines()[-1] == "error: interrupted"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", b"\xe9?"), ("cp1252", b"\xe9?"), ("ascii", b"??")]
)
def test_characters_that_a_terminal_lacks_are_replaced(tmp_path: Path, encoding: str, shown: bytes) -> None:
    with ApiServer(jobsets=[jobset()], pods=[pod()]) as server:
        server.logs[pod()["metadata"]["name"]] = "2026-01-01T00:00:01Z é漢\n"
        process = command(server, tmp_path, "logs", "run", PYTHONIOENCODING=encoding)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"slice-0-0 | " + shown + b"\n", b"")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_is_not_checked_is_said_once(on_api: Commands, tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x"
    subprocess.run(
        [*make.split(), "-keyout", str(pem), "-out", f"{pem}.crt"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", str(pem))
    with ApiServer(jobsets=[jobset()], pods=[pod(0), pod(1)]) as server:
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        config = json.loads(server.kubeconfig(tmp_path).read_text())
        config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        server.kubeconfig = lambda folder, **user: _write(folder, config)  # type: ignore[method-assign]
        result = on_api(server, "status run")
    assert result.code == 0
    assert result.err == [
        f"warning: the certificate of {server.url} is not checked: insecure-skip-tls-verify is set"
    ]


def _write(folder: Path, config: Any) -> Path:
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path
