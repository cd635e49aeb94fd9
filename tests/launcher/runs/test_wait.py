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

from launcher.runs import waiting, watch


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


def waiting_pod(reason: str, message: str = "") -> Any:
    pending = pod(started=False)
    [status] = pending["status"]["containerStatuses"]
    status["state"] = {"waiting": {"reason": reason, "message": message}}
    return pending


def pull_failed(cause: str) -> Any:
    """The warning event about a failed pull of the image of the run's pod."""
    involved = {"kind": "Pod", "name": pod()["metadata"]["name"], "uid": pod()["metadata"]["uid"]}
    return {
        "metadata": {"name": "pull", "namespace": "default", "creationTimestamp": "2099-01-01T00:00:00Z"},
        "involvedObject": involved,
        "type": "Warning",
        "reason": "Failed",
        "message": f'Failed to pull image "r/i:1": {cause}',
    }


AGE = {"creationTimestamp": "2026-01-01T00:00:00Z"}


def queued(message: str) -> dict[str, Any]:
    """A run whose Workload says why Kueue does not admit it."""
    run = jobset(hosts=1)
    run["spec"]["suspend"] = True
    run["metadata"]["labels"] |= {"kueue.x-k8s.io/queue-name": "q", "kueue.x-k8s.io/priority-class": "high"}
    condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message}
    owner = {"kind": "JobSet", "name": "run", "uid": run["metadata"]["uid"]}
    workload = {
        "metadata": {"name": "w", "namespace": "default", "uid": "uid-w", "ownerReferences": [owner]} | AGE,
        "spec": {"queueName": "q", "active": True},
        "status": {"conditions": [condition]},
    }
    named = {"localqueues": "q", "workloadpriorityclasses": "high"}
    others = {kind: [{"metadata": {"name": name}}] for kind, name in named.items()}
    return {"jobsets": [run], "workloads": [workload], "pods": [], **others}


UNUSED = "insufficient unused quota for cpu in flavor b, 4 more needed"
LARGER = "insufficient quota for cpu in flavor a, request > maximum capacity (8 > 4)"


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        (
            {
                "jobsets": [jobset(hosts=1)],
                "pods": [waiting_pod("ImagePullBackOff", 'failed: "r/i:1": not found')],
            },
            'image r/i:1: failed: "r/i:1": not found',
        ),
        (
            {"jobsets": [jobset(hosts=1)], "pods": [waiting_pod("ErrImagePull", "manifest unknown")]},
            "image r/i:1: manifest unknown",
        ),
        (
            {"jobsets": [jobset(hosts=1)], "pods": [waiting_pod("InvalidImageName")]},
            "image r/i:1: InvalidImageName",
        ),
        *(
            (
                {"jobsets": [jobset(hosts=1)], "pods": [waiting_pod("ImagePullBackOff", words)]},
                f"image r/i:1: {words}",
            )
            for words in (
                "failed to authorize: unexpected status: 401 Unauthorized",
                'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied',
                "dial tcp: lookup r on 10.0.0.10:53: no such host",
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "http: server gave HTTP response to HTTPS client",
            )
        ),
        (  # a kubelet before 1.31 gives the cause in an event alone
            {
                "jobsets": [jobset(hosts=1)],
                "pods": [waiting_pod("ImagePullBackOff", 'Back-off pulling image "r/i:1"')],
                "events": [pull_failed("manifest unknown")],
            },
            "image r/i:1: manifest unknown",
        ),
        (queued(LARGER), f"queue q: {LARGER}"),
        (queued("LocalQueue q doesn't exist"), "queue q: LocalQueue q doesn't exist"),
        (queued("ClusterQueue c doesn't exist"), "queue q: ClusterQueue c doesn't exist"),
        (
            queued(UNUSED) | {"localqueues": []},
            "queue: must be a LocalQueue in namespace default, got 'q'",
        ),
        (
            queued(UNUSED) | {"workloadpriorityclasses": []},
            "priority: must be a WorkloadPriorityClass of the cluster, got 'high'",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["wait run --timeout 20s", "logs -f run"])
def test_what_cannot_mend_is_not_waited_for(
    on_api: Commands, verb: str, objects: dict[str, Any], reason: str
) -> None:
    with ApiServer(**objects) as server:
        result = on_api(server, verb)
    assert (result.code, result.out) == (1, [])
    assert result.err[-2:] == [
        f"error: run 'run' cannot start: {reason}",
        "hint: mend it, or: resnet-launch delete run",
    ]


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_a_registry_that_does_not_answer_is_not_waited_for_all_day(
    on_api: Commands, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(waiting, "PULL_SECONDS", 6.0)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.5)
    objects = {"jobsets": [jobset(hosts=1)], "pods": [waiting_pod(reason, "connection refused")]}
    began = time.monotonic()
    with ApiServer(**objects) as server:
        result = on_api(server, "wait run --timeout 60s")
    assert 6 <= time.monotonic() - began < 30
    assert (result.code, result.out) == (1, [])
    assert result.err[-2:] == [
        "error: run 'run' cannot start: image r/i:1: connection refused (for 6 s)",
        "hint: mend it, or: resnet-launch delete run",
    ]


@pytest.mark.parametrize(
    ("objects", "note"),
    [
        (queued(UNUSED), f"run is queued; queue q: {UNUSED}"),
        (queued(f"{LARGER}, {UNUSED}"), f"run is queued; queue q: {LARGER}, {UNUSED}"),
        (
            {"jobsets": [jobset(hosts=1)], "pods": [waiting_pod("ErrImagePull", "i/o timeout")]},
            "run is pending; image r/i:1: ErrImagePull: i/o timeout (run-slice-0-0-a0)",
        ),
        ({"jobsets": [jobset(hosts=1)], "pods": [pod()]}, "run is running"),
    ],
)
def test_what_may_mend_is_said_once_and_waited_for(
    on_api: Commands, objects: dict[str, Any], note: str
) -> None:
    with ApiServer(**objects) as server:
        result = on_api(server, "wait run --timeout 2s")
    assert (result.code, result.out) == (3, [])
    assert result.err[0] == note
    assert len([line for line in result.err if line == note]) == 1


def test_the_end_tells_accuracy_duration_directory_and_what_to_type(on_api: Commands) -> None:
    run = jobset(hosts=1, ended="Completed")
    created = run["metadata"]["creationTimestamp"]
    run["status"]["conditions"][0]["lastTransitionTime"] = created.replace(created[:4], "2099")
    run["metadata"]["annotations"]["resnet-launch/run-dir"] = "gs://b-1/run"
    with ApiServer(jobsets=[run], pods=[pod(ended=True)]) as server:
        server.logs["run-slice-0-0-a0"] = "evaluate step=5 accuracy=0.75\nevaluate step=9 accuracy=0.5\n"
        result = on_api(server, "wait run")
    assert result.code == 0
    assert result.err[-3].startswith("accuracy 50.00 % at step 9, best 75.00 % at step 5, ")
    assert result.err[-3].endswith(" after its submission")
    assert result.err[-2:] == [
        "run directory gs://b-1/run",
        "next: resnet-train report gs://b-1/run --out run.html",
    ]


def test_a_run_without_a_bucket_ends_with_what_became_of_its_directory(on_api: Commands) -> None:
    run = jobset(hosts=1, ended="Completed")
    run["metadata"]["annotations"]["resnet-launch/run-dir"] = "/scratch/run"
    with ApiServer(jobsets=[run], pods=[pod(ended=True)]) as server:
        server.logs["run-slice-0-0-a0"] = "evaluate step=9 accuracy=0.5\n"
        result = on_api(server, "wait run")
    assert result.code == 0
    assert result.err[-1] == "run directory /scratch/run, gone with its pods: the run had no --bucket"


@pytest.mark.parametrize("folder", ["/store/run", "/scratched/run"])
def test_a_directory_of_a_mounted_volume_is_kept(on_api: Commands, folder: str) -> None:
    run = jobset(hosts=1, ended="Completed")
    run["metadata"]["annotations"]["resnet-launch/run-dir"] = folder
    with ApiServer(jobsets=[run], pods=[pod(ended=True)]) as server:
        result = on_api(server, "wait run")
    assert result.err[-2:] == [
        f"run directory {folder}",
        f"next: resnet-train report {folder} --out run.html",
    ]


def test_a_failed_run_ends_with_where_to_look(on_api: Commands) -> None:
    with ApiServer(jobsets=[jobset(hosts=1, ended="Failed")]) as server:
        result = on_api(server, "wait run")
    assert result.code == 1
    assert result.err[-1].startswith("next: resnet-launch status run ")


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
    # A process in the background of a shell ignores SIGINT, and so would its children.
    line = ["env", "--default-signal=INT", sys.executable, "-m", "launcher", *words]
    line += ["--kubeconfig", str(server.kubeconfig(folder))]
    return subprocess.Popen(line, stdout=-1, stderr=-1, env=kept | environ)


def test_ctrl_c_leaves_the_end_unknown(tmp_path: Path) -> None:
    with ApiServer(jobsets=[jobset()]) as server:
        process = command(server, tmp_path, "wait", "run")
        deadline = time.monotonic() + 60
        while not any(asked.query.get("watch") for asked in server.asked) and time.monotonic() < deadline:
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
