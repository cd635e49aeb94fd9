"""A run on a bucket of a real server: its report and the files of TensorBoard are made there."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import divided_states
import pytest
from joined_hosts import finished, running
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from testcluster import bucket as emulator
from testcluster import build
from train_runs import QUICK, environment

REPORT = "import sys; from trainer.cli import main; sys.exit(main())"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def bucket(tmp_path):
    """The folder of an empty bucket named ``reported``, and the environment of a process that uses it."""
    if not shutil.which("go") and not os.environ.get("CI"):
        pytest.skip("Go is not installed: it builds the server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    flags = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-filesystem-root={tmp_path / 'buckets'}"]
    flags += [f"-external-url={url}", f"-public-host=127.0.0.1:{port}"]
    (tmp_path / "buckets" / "reported").mkdir(parents=True)
    server = subprocess.Popen(
        [build.binary("bucket", "fake-gcs-server"), *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while not answers(f"{url}/storage/v1/b/reported"):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield tmp_path / "buckets" / "reported", environment() | emulator.environment(url)
    finally:
        server.terminate()
        server.wait()


def answers(url):
    try:
        OPENER.open(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_run_is_reported_from_the_bucket(bucket):
    folder, places = bucket
    run_dir = "gs://reported/run"

    def python(*words):
        command = [sys.executable, *words]
        done = subprocess.run(command, env=places, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("-m", "trainer", "--run-dir", run_dir, *QUICK, "--set", "log.tensorboard=true")
    files = folder / "run"
    rows = [json.loads(line) for line in (files / "metrics.jsonl").read_text().splitlines()]
    [accuracy] = [row["accuracy"] for row in rows if row["kind"] == "evaluate"]

    figures = json.loads(python("-c", REPORT, "report", run_dir, "--json"))
    assert (figures["state"], figures["step"], figures["accuracy"]) == ("finished", 6, accuracy)
    assert python("-c", REPORT, "report", run_dir).strip() == f"{run_dir}/report.html"
    page = (files / "report.html").read_text()
    assert f"{100 * accuracy:.1f}" in page
    assert "data:image/png" in page  # the mistakes of the checkpoint that is on the bucket

    shown = EventAccumulator(str(files / "tensorboard"))
    shown.Reload()
    assert [event.step for event in shown.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_two_hosts_write_their_parts_to_the_bucket(bucket):
    folder, places = bucket
    with running(2, 2, divided_states.__file__, "once", "gs://reported/run/checkpoints", **places) as hosts:
        ends = finished(hosts)
    assert [code for code, *_ in ends] == [0, 0], ends
    parts = [folder / "run" / "checkpoints" / "1" / "state" / f"ocdbt.process_{host}" for host in (0, 1)]
    assert all((part / "manifest.ocdbt").is_file() for part in parts)
    assert "warning" not in ends[0][2]
