"""A small API server on 127.0.0.1 for answers that a real one gives rarely: real HTTP, objects as dicts.

A hook sees each request first. It may return (status, headers, body), write to the handler itself and return
True, or return None for the ordinary answer.
"""

from __future__ import annotations

import datetime
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

Object = dict[str, Any]
Answer = tuple[int, dict[str, str], Any]
Hook = Callable[["Handler", "Asked"], "Answer | bool | None"]
MAX_WATCH_SECONDS = 2.0


class Asked:
    """One request: method, path, query, headers, JSON body, and how often its method and path came so far."""

    def __init__(self, method: str, url: str, headers: Any, body: Any, count: int) -> None:
        parts = urllib.parse.urlsplit(url)
        self.method, self.path, self.headers, self.body, self.count = method, parts.path, headers, body, count
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        self.plural, self.name, self.is_log = self._resource()

    def _resource(self) -> tuple[str, str, bool]:
        words = self.path.strip("/").split("/")
        of_cluster = words[3 if words[0] == "apis" else 2 :] or words[-1:]
        rest = words[words.index("namespaces") + 2 :] if "namespaces" in words else of_cluster
        return rest[0], rest[1] if len(rest) > 1 else "", rest[-1] == "log"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart: 40 ms between them otherwise

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        server: Any = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        api: ApiServer = server.api
        with api.lock:
            key = (self.command, urllib.parse.urlsplit(self.path).path)
            api.counts[key] = api.counts.get(key, 0) + 1
            asked = Asked(self.command, self.path, self.headers, body, api.counts[key])
            api.asked.append(asked)
        try:
            answer = api.hook(self, asked) if api.hook else None
            answer = answer or api.ordinary(self, asked)
            if answer is not True:
                self.say(*answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PATCH = do_DELETE = do_POST = _answer

    def say(self, status: int, headers: dict[str, str], body: Any) -> None:
        """Send a whole answer; a body that is neither bytes nor text is sent as JSON."""
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else None
        data = json.dumps(body).encode() if data is None else data
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def chunks(self, parts: Iterable[str | bytes], whole: bool = True) -> bool:
        """Send a chunked answer; without its last chunk unless `whole`."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            if data:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
        if whole:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True
        return True

    def cut(self) -> bool:
        """End the connection without an answer."""
        self.close_connection = True
        return True


class ApiServer:
    """The server; a context manager.

    Attributes:
      objects: plural -> objects of that kind.
      logs: name of a pod -> its log, each line with a time.
      asked: the requests so far.
    """

    def __init__(self, hook: Hook | None = None, **objects: Any) -> None:
        self.hook = hook
        self.objects: dict[str, Any] = {"jobsets": [], "pods": [], "events": [], "workloads": [], **objects}
        self.logs: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.lock = threading.Lock()

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64
            api = self

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ordinary(self, handler: Handler, asked: Asked) -> Answer | bool:
        """Answer as an API server does, without its checks."""
        if asked.method == "PATCH":
            metadata = {"uid": "uid-new", "creationTimestamp": now()} | asked.body.get("metadata", {})
            return 200, {}, asked.body | {"metadata": metadata}
        if asked.method == "DELETE":
            return 200, {}, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if asked.is_log:
            return 200, {"Content-Type": "text/plain"}, self.logs.get(asked.name, "")
        items = self.objects.get(asked.plural)
        if items is None or asked.name:
            return next(
                ((200, {}, item) for item in items or [] if item["metadata"]["name"] == asked.name),
                failure(404, f'{asked.plural} "{asked.name}" not found', "NotFound"),
            )
        for term in filter(None, asked.query.get("fieldSelector", "").split(",")):
            key, _, value = term.partition("=")
            if key == "metadata.name":
                items = [item for item in items if item["metadata"]["name"] == value]
        for term in filter(None, asked.query.get("labelSelector", "").split(",")):
            key, _, value = term.partition("=")
            items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
        if asked.query.get("watch"):
            time.sleep(min(float(asked.query["timeoutSeconds"]), MAX_WATCH_SECONDS))
            return handler.chunks([])
        return 200, {}, {"kind": "List", "metadata": {"resourceVersion": "10"}, "items": items}

    def kubeconfig(self, folder: Path, **user: Any) -> Path:
        """Write a kubeconfig whose user has these credentials, a token if none are named."""
        path = folder / "kubeconfig"
        context = {"cluster": "k", "user": "u", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [{"name": "c", "context": context}],
        }
        path.write_text(json.dumps(config))
        return path


def now(ago: float = 0) -> str:
    """The time `ago` seconds before now, as an API server writes it."""
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def jobset(name: str = "run", slices: int = 1, hosts: int = 2, ended: str = "") -> Object:
    """A JobSet of the launcher; `ended` is Completed, Failed or nothing."""
    conditions = [{"type": ended, "status": "True", "reason": "R", "message": f"jobset {ended.lower()}"}]
    container = {"name": "trainer", "image": "r/i:1"}
    job = {"parallelism": hosts, "completions": hosts, "template": {"spec": {"containers": [container]}}}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": now(600),
            "labels": {"app.kubernetes.io/name": "resnet-launch", "app.kubernetes.io/instance": name},
            "annotations": {"resnet-launch/slice": f"cpu-{hosts}x1", "resnet-launch/arch": "resnet18"},
        },
        "spec": {
            "failurePolicy": {"maxRestarts": 10},
            "replicatedJobs": [{"name": "slice", "replicas": slices, "template": {"spec": job}}],
        },
        "status": {"conditions": conditions if ended else [], "restarts": 0},
    }


def pod(
    host: int = 0, run: str = "run", attempt: int = 0, ended: bool = False, started: bool = True
) -> Object:
    """A pod of the run's slice 0, as the kubelet reports it."""
    name = f"{run}-slice-0-{host}-a{attempt}"
    state: Object = {"running": {"startedAt": now(300)}}
    if ended:
        state = {"terminated": {"exitCode": 0, "startedAt": now(300), "finishedAt": now()}}
    if not started:
        state = {"waiting": {"reason": "ContainerCreating"}}
    status = {"name": "trainer", "image": "r/i:1", "ready": started, "restartCount": 0, "state": state}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": now(500),
            "labels": {
                "jobset.sigs.k8s.io/jobset-name": run,
                "jobset.sigs.k8s.io/job-index": "0",
                "batch.kubernetes.io/job-completion-index": str(host),
                "jobset.sigs.k8s.io/restart-attempt": str(attempt),
            },
        },
        "spec": {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "r/i:1"}]},
        "status": {
            "phase": "Succeeded" if ended else "Running" if started else "Pending",
            "containerStatuses": [status],
        },
    }


def failure(status: int, message: str, reason: str = "") -> Answer:
    """The answer of an API server that refuses."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": message}
    return status, {}, body | {"reason": reason}
