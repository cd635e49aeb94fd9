"""The small API server with watches and followed logs that stay open, and runs of any size to fill it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import api_server
from api_server import Answer, ApiServer, Asked, Handler, Object

from launcher import keys

TICK_SECONDS = 0.05


class StreamingServer(ApiServer):
    """A server whose watches bring what `put` and `remove` change, until they are over."""

    def __init__(self, hook: api_server.Hook | None = None, **objects: Any) -> None:
        super().__init__(hook, **objects)
        self._changes: list[tuple[str, str, Object]] = []
        self._news = threading.Condition()
        self._closed = False

    def __exit__(self, *error: object) -> None:
        self._closed = True
        super().__exit__(*error)

    def put(self, plural: str, obj: Object) -> None:
        """Store an object and tell the watches."""
        name = obj["metadata"]["name"]
        with self._news:
            others = [item for item in self.objects[plural] if item["metadata"]["name"] != name]
            kind = "MODIFIED" if len(others) < len(self.objects[plural]) else "ADDED"
            self.objects[plural] = [*others, obj]
            self._changes.append((kind, plural, obj))
            self._news.notify_all()

    def remove(self, plural: str, name: str) -> None:
        """Delete an object and tell the watches."""
        with self._news:
            [obj] = [item for item in self.objects[plural] if item["metadata"]["name"] == name]
            self.objects[plural] = [item for item in self.objects[plural] if item is not obj]
            self._changes.append(("DELETED", plural, obj))
            self._news.notify_all()

    def say(self, pod: str, *lines: str) -> None:
        """Append lines to a pod's log."""
        with self._news:
            stamped = "".join(
                f"{api_server.now()[:-1]}.{time.time_ns() % 10**9:09d}Z {line}\n" for line in lines
            )
            self.logs[pod] = self.logs.get(pod, "") + stamped
            self._news.notify_all()

    def ordinary(self, handler: Handler, asked: Asked) -> Answer | bool:
        if asked.query.get("watch"):
            return handler.chunks(self._watch(asked))
        if asked.is_log and asked.query.get("follow") == "true":
            return handler.chunks(self._log(asked.name))
        with self._news:
            version = str(len(self._changes))
            answer = super().ordinary(handler, asked)
        if isinstance(answer, tuple) and isinstance(answer[2], dict) and "items" in answer[2]:
            answer[2]["metadata"] = {"resourceVersion": version}
        return answer

    def _watch(self, asked: Asked) -> Iterator[str]:
        at = int(asked.query["resourceVersion"])
        end = time.monotonic() + float(asked.query["timeoutSeconds"])
        yield " \n"
        while time.monotonic() < end and not self._closed:
            with self._news:
                self._news.wait_for(lambda seen=at: len(self._changes) > seen, TICK_SECONDS)
                new, at = self._changes[at:], len(self._changes)
            for kind, plural, obj in new:
                if plural == asked.plural and _is_selected(obj, asked.query):
                    yield json.dumps({"type": kind, "object": obj}) + "\n"

    def _log(self, pod: str) -> Iterator[str]:
        sent = 0
        while not self._closed:
            with self._news:
                self._news.wait_for(lambda seen=sent: len(self.logs.get(pod, "")) > seen, TICK_SECONDS)
                text = self.logs.get(pod, "")
                phases = [p["status"]["phase"] for p in self.objects["pods"] if p["metadata"]["name"] == pod]
            yield text[sent:]
            sent = len(text)
            if phases != ["Running"]:
                return


def _is_selected(obj: Object, query: dict[str, str]) -> bool:
    labels = obj["metadata"].get("labels", {})
    wanted = dict(term.split("=", 1) for term in filter(None, query.get("labelSelector", "").split(",")))
    return all(labels.get(key) == value for key, value in wanted.items())


def jobset(
    name: str,
    hosts: int = 2,
    slices: int = 1,
    shape: str = "cpu-2x1",
    ready: int | None = None,
    created: str = "2026-01-01T00:00:00Z",
    restarts: tuple[int, int] = (0, 0),
    conditions: list[Object] | None = None,
    **spec: Any,
) -> Object:
    """A JobSet as the launcher makes it; `restarts` are (all, counted)."""
    group = {"name": "slice", "replicas": slices, "template": {"spec": {"parallelism": hosts // slices}}}
    return {
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": created,
            "labels": {keys.NAME: keys.APP, keys.INSTANCE: name},
            "annotations": {keys.SLICE_NAME: shape, keys.ARCH_NAME: "resnet50"},
        },
        "spec": {"replicatedJobs": [group], "failurePolicy": {"maxRestarts": 10}, **spec},
        "status": {
            "conditions": conditions or [],
            "restarts": restarts[0],
            "restartsCountTowardsMax": restarts[1],
            "replicatedJobsStatus": [{"name": "slice", "ready": slices if ready is None else ready}],
        },
    }


def pod(run: str, host: int = 0, index: int = 0, attempt: int = 0, **status: Any) -> Object:
    """A pod of a run that has started; `status` replaces parts of its status."""
    name = f"{run}-slice-{index}-{host}-{attempt:05d}"
    started = {"running": {"startedAt": api_server.now(300)}}
    container = {"name": "trainer", "image": "r/i:1", "state": started}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": api_server.now(500),
            "labels": {
                keys.NAME: keys.APP,
                keys.JOBSET_NAME: run,
                keys.JOB_INDEX: str(index),
                keys.COMPLETION_INDEX: str(host),
                keys.RESTART_ATTEMPT: str(attempt),
            },
        },
        "spec": {"nodeName": f"node-{host}", "restartPolicy": "Never", "containers": [{"name": "trainer"}]},
        "status": {"phase": "Running", "containerStatuses": [container], "conditions": [], **status},
    }


def progress(step: int, steps: int = 100, **values: Any) -> str:
    """A line of progress as the trainer prints it."""
    row = {"step": step, "steps": steps, "loss": 2.5 - step / 100, "images_per_second": 1000.0}
    row |= {"data_wait": 0.03, "eta_seconds": 90.0, **values}
    return "progress " + " ".join(f"{key}={value}" for key, value in row.items())
