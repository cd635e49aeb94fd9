"""Real runs on the test cluster's node: submitted as a person would, hurt, and read from their bucket."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

from testcluster import Cluster
from testcluster.api import Object, Refused
from testcluster.objects import eventually, log

TINY = "--arch resnet-tiny --set model.width=8 --batch 32 --data digits"
SHORT = (
    "--steps 240 --set checkpoint.every_steps=20 --set log.every_steps=1 --set train.eval_every_epochs=0 "
    "--grace 10"
)
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"


class Run:
    """A run of real pods of the cpu image, in the bucket of its namespace.

    All runs of a cluster share their compiled programs, so that only the first of a kind compiles.

    Args:
      flags: of `submit`, beside slice, image, bucket and the way to the bucket; the later ones win.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, flags: str, slice_name: str = "cpu-2x1"
    ) -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.bucket = cluster.bucket.create(namespace)
        programs = cluster.bucket.create("programs")
        environment = [f"--env {key}={value}" for key, value in cluster.bucket.environment().items()]
        common = f"--image localhost/resnet-launch:cpu --bucket {self.bucket} --set log.wandb=off"
        words = [common, f"--set train.compile_cache={programs}", *environment, flags]
        self.submitted = time.time()
        line = f"submit --slice {slice_name} --name {name} {' '.join(words)}"
        code, said = self.launch(line)
        assert code == 0, said

    def launch(self, line: str) -> tuple[int, str]:
        """Exit code and output of `resnet-launch LINE` in the run's namespace."""
        where = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace]
        command = [sys.executable, "-m", "launcher", *line.split(), *where]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return ended.returncode, ended.stdout

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        code, said = self.launch(f"status {self.name} --json")
        assert code == 0, said
        return json.loads(said)

    def wait(self, minutes: int = 6) -> str:
        """Waits until the run is over; its phase, or what `wait` said instead."""
        code, said = self.launch(f"wait {self.name} --timeout {minutes}m --json")
        return json.loads(said)["phase"] if code < 2 else said

    def delete(self) -> None:
        """Deletes the run; returns once its pods are gone, so that the node is free."""
        code, said = self.launch(f"delete {self.name} --yes")
        assert code == 0, said

    def report(self) -> str:
        """Status and the ends of all logs, for an assertion that fails."""
        texts = [self.launch(f"status {self.name}")[1]]
        texts += [f"--- {pod['metadata']['name']}\n{self.log(pod)[-3000:]}" for pod in self.pods()]
        return "\n".join(texts)

    def pods(self, attempt: int | None = None) -> list[Object]:
        """The pods of this run or of one attempt, host by host."""
        query = f"jobset.sigs.k8s.io/jobset-name={self.name}"
        query += "" if attempt is None else f",{ATTEMPT}={attempt}"
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={urllib.parse.quote(query)}"
        found = self.cluster.api.request("GET", path)["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["name"])

    def pod(self, host: int, attempt: int = 0) -> str:
        """The name of a host's pod of an attempt."""
        return self.pods(attempt)[host]["metadata"]["name"]

    def log(self, pod: Object) -> str:
        """What a pod has printed; empty where it has not begun or is gone."""
        try:
            return log(self.cluster.api, self.namespace, pod["metadata"]["name"])
        except (Refused, OSError):
            return ""

    def said(self, text: str, attempt: int = 0) -> bool:
        """Whether any pod of an attempt has printed a text."""
        return any(text in self.log(pod) for pod in self.pods(attempt))

    def reach(self, text: str, attempt: int = 0, seconds: float = 240) -> None:
        """Waits until a pod of an attempt has printed a text."""
        assert eventually(lambda: self.said(text, attempt), seconds), f"no {text!r}:\n{self.report()}"

    def first_exit(self, attempt: int = 0, seconds: float = 120) -> int:
        """The exit code of the first pod of an attempt that ends."""
        found: list[int] = []

        def ended() -> bool:
            for pod in self.pods(attempt):
                for container in pod["status"].get("containerStatuses", []):
                    if "terminated" in container["state"]:
                        found.append(container["state"]["terminated"]["exitCode"])
            return bool(found)

        assert eventually(ended, seconds), f"no pod of attempt {attempt} ended:\n{self.report()}"
        return found[0]

    def newest(self) -> list[Object]:
        """The pods of the newest attempt, host by host."""
        found = self.pods()
        attempts = [int(pod["metadata"]["labels"][ATTEMPT]) for pod in found]
        return [pod for pod, attempt in zip(found, attempts, strict=True) if attempt == max(attempts)]

    def signal(self, host: int, number: int, attempt: int = 0) -> None:
        """Sends a signal to the trainer of a host's pod."""
        self.cluster.kill(self.pod(host, attempt), self.namespace, number)

    def delete_pod(self, pod: str) -> None:
        """Deletes a pod, as `kubectl delete pod` does."""
        self.cluster.api.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod}")

    def evict(self, pod: str) -> None:
        """Asks the API server to evict a pod, as a drain of its node does."""
        metadata = {"name": pod, "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.cluster.api.request("POST", path, eviction)

    def objects(self, prefix: str = "") -> list[str]:
        """Names of the objects in the run directory."""
        query = urllib.parse.urlencode({"prefix": f"{self.name}/{prefix}"})
        listing = json.loads(self._get(f"o?{query}"))
        return [item["name"].removeprefix(f"{self.name}/") for item in listing.get("items", [])]

    def read(self, name: str) -> str:
        """An object of the run directory."""
        return self._get(f"o/{urllib.parse.quote(f'{self.name}/{name}', safe='')}?alt=media")

    def _get(self, path: str) -> str:
        url = f"{self.cluster.bucket.url}/storage/v1/b/{self.namespace}/{path}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as answer:
            return answer.read().decode()

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Rows of metrics.jsonl of a kind: train or evaluate."""
        rows = map(json.loads, self.read("metrics.jsonl").splitlines())
        return [row for row in rows if row["kind"] == kind]

    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) of every logged step, as they are after all restarts."""
        return [(row["step"], row["loss"]) for row in self.rows("train")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Rows of events.jsonl of a name, over all attempts."""
        rows = map(json.loads, self.read("events.jsonl").splitlines())
        return [row for row in rows if row["name"] == name]
