"""`board` as it is typed: the page that it writes, the port that it serves, and wrong requests."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import board_runs
import pytest

from trainer.board.__main__ import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        board_runs.make(tmp_path / "runs" / name, name)
    return tmp_path / "runs"


def test_it_writes_one_page(runs, capsys):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == f"{runs.parent}/board.html: 2 runs\n"
    text = (runs.parent / "board.html").read_text(encoding="utf-8")
    assert '"link":"runs/a/report.html"' in text
    assert main(["runs/a", "-o", "runs/one.html"]) == 0
    assert capsys.readouterr().out == f"{runs}/one.html: 1 run\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "DIR: must be given"),
        (["absent"], "DIR: must be a folder or gs://…, got '{folder}/absent', which does not exist"),
        (["cache"], "DIR: must hold run directories, got '{folder}/cache' without a config.json"),
        (["runs", "-o", "nowhere/x.html"], "--out: must be in an existing folder, got '{folder}/nowhere/x"),
        (["runs", "-o", "runs"], "--out: cannot write '{folder}/runs'"),
        (["runs", "--serve", "high"], "--serve: must be a whole number, got 'high'"),
        (["runs", "--serve", "70000"], "--serve: port 70000 cannot be used"),
        (["runs", "--serve", "-1"], "--serve: port -1 cannot be used"),
        (["runs", "--json", "-o", "x"], "--out: must be alone"),
        (["s3://bucket/runs"], "DIR: must"),
    ],
)
def test_wrong_requests(runs, capsys, arguments, problem):
    (runs.parent / "cache").mkdir()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: " + problem.format(folder=runs.parent))
    assert not (runs.parent / "board.html").exists()


def test_a_port_in_use(runs, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["runs", "--serve", str(port)]) == 2
    assert f"--serve: port {port} cannot be used: Address already in use" in capsys.readouterr().err


def test_it_serves_the_runs_as_they_are_now_to_this_machine_alone(runs):
    command = [sys.executable, "-P", "-m", "trainer.board", "runs", "--serve", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            address = server.stdout.readline().split()[0]
            port = int(address.rstrip("/").rpartition(":")[2])

            def get(path, host=f"127.0.0.1:{port}"):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", path, headers={"Host": host})
                reply = connection.getresponse()
                return reply.status, reply.read().decode(), reply.headers

            status, text, _ = get("/")
            assert (status, text.count('"address"')) == (200, 2)
            board_runs.make(runs / "c", "<c>")
            assert get("/")[1].count('"address"') == 3
            status, text, headers = get("/report/2")
            assert (status, text) == (200, "<h1><c></h1>")
            assert headers["Content-Security-Policy"].startswith("sandbox;")
            assert get("/", "example.com")[0] == 403
            for path in ("/report/3", "/report/-1", "/../cache", "/runs/a/config.json"):
                assert get(path)[0] == 404
            with socket.socket() as other:  # on no other address of this machine
                assert other.connect_ex(("127.0.0.2", port)) != 0
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        assert server.stderr
        assert server.stderr.read().strip() == ""


def test_the_launcher_adds_chips_and_prices(runs):
    command = [sys.executable, "-P", "-m", "launcher", "board", "runs", "--json", "--price", "tpu7x=3.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    rows = json.loads(done.stdout)
    assert [(row["chips"], row["chip_hours"], row["cost"]) for row in rows] == [(4, 0.04, 0.14)] * 2
    done = subprocess.run([*command[:-1], "dear"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: price: must be a number above zero, or one per generation, got 'dear'"
    )


@pytest.mark.parametrize("names", ["aab", "aaa", "ab"])
def test_runs_of_one_name_have_their_folders_beside_them(tmp_path, capsys, names):
    for number, name in enumerate(names):
        board_runs.make(tmp_path / "more" / f"{name}{number}", name)
    assert main([str(tmp_path / "more"), "--text", "--no-cache"]) == 0
    title, *lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert title.endswith("folder") == (len(set(names)) < len(names))
    for number, name in enumerate(names):
        place = str(tmp_path / "more" / f"{name}{number}")
        assert sum(line.endswith(place) for line in lines) == (names.count(name) > 1)
