"""Real runs on the test cluster's node: submitted from the command line, disturbed, read from the bucket."""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

from quick_programs import QUICKLY_COMPILED
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

    All runs of a cluster share their compiled programs, so only the first run of a kind compiles.

    Args:
      flags: further flags of `submit`; they win over those for slice, image, bucket and its emulator.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, flags: str, slice_name: str = "cpu-2x1"
    ) -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.bucket = cluster.bucket.create(namespace)
        programs = cluster.bucket.create("programs")
        variables = cluster.bucket.environment() | {"XLA_FLAGS": QUICKLY_COMPILED}
        environment = [f"--env {key}={value}" for key, value in variables.items()]
        common = f"--image localhost/resnet-launch:cpu --bucket {self.bucket} --set log.wandb=off"
        flags = " ".join([common, f"--set train.compile_cache={programs}", *environment, flags])
        self.submitted = time.time()
        line = f"submit --slice {slice_name} --name {name} {flags}"
        code, output = self.launch(line)
        assert code == 0, output

    def launch(self, line: str) -> tuple[int, str]:
        """Exit code and output of `resnet-launch LINE` in the run's namespace, stdout before stderr."""
        done = self._run(line)
        return done.returncode, done.stdout + done.stderr

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        context = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace]
        command = [sys.executable, "-m", "launcher", *line.split(), *context]
        return subprocess.run(command, capture_output=True, text=True)

    def status(self) -> dict[str, Any]:
        """The document of `status --json`."""
        done = self._run(f"status {self.name} --json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def wait(self, minutes: int = 6) -> str:
        """Wait until the run is over; return its phase, or the output of `wait` if it failed."""
        done = self._run(f"wait {self.name} --timeout {minutes}m --json")
        return json.loads(done.stdout)["phase"] if done.stdout else done.stderr

    def delete(self) -> None:
        """Delete the run; return once its pods are gone and the node is free."""
        code, output = self.launch(f"delete {self.name} --yes")
        assert code == 0, output

    def report(self) -> str:
        """Status and the ends of all logs, as the message of an assertion."""
        texts = [self.launch(f"status {self.name}")[1]]
        texts += [f"--- {pod['metadata']['name']}\n{self.log(pod)[-3000:]}" for pod in self.pods()]
        return "\n".join(texts)

    def pods(self, attempt: int | None = None) -> list[Object]:
        """The pods of this run or of one attempt, sorted by host."""
        query = f"jobset.sigs.k8s.io/jobset-name={self.name}"
        query += "" if attempt is None else f",{ATTEMPT}={attempt}"
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={urllib.parse.quote(query)}"
        pods = self.cluster.api.request("GET", path)["items"]
        return sorted(pods, key=lambda pod: pod["metadata"]["name"])

    def pod(self, host: int, attempt: int = 0) -> str:
        """The name of a host's pod in an attempt."""
        return self.pods(attempt)[host]["metadata"]["name"]

    def log(self, pod: Object) -> str:
        """The log of a pod; empty before it starts and after it is gone."""
        try:
            return log(self.cluster.api, self.namespace, pod["metadata"]["name"])
        except (Refused, OSError):
            return ""

    def printed(self, text: str, attempt: int = 0) -> bool:
        """Return whether any pod of an attempt has printed a text."""
        return any(text in self.log(pod) for pod in self.pods(attempt))

    def reach(self, text: str, attempt: int = 0, seconds: float = 240) -> None:
        """Wait until a pod of an attempt has printed a text."""
        assert eventually(lambda: self.printed(text, attempt), seconds), f"no {text!r}:\n{self.report()}"

    def first_exit(self, attempt: int = 0, seconds: float = 120) -> int:
        """The exit code of the first pod of an attempt that ends."""
        codes: list[int] = []

        def ended() -> bool:
            for pod in self.pods(attempt):
                for container in pod["status"].get("containerStatuses", []):
                    if "terminated" in container["state"]:
                        codes.append(container["state"]["terminated"]["exitCode"])
            return bool(codes)

        assert eventually(ended, seconds), f"no pod of attempt {attempt} ended:\n{self.report()}"
        return codes[0]

    def newest(self) -> list[Object]:
        """The pods of the newest attempt, sorted by host."""
        pods = self.pods()
        attempts = [int(pod["metadata"]["labels"][ATTEMPT]) for pod in pods]
        return [pod for pod, attempt in zip(pods, attempts, strict=True) if attempt == max(attempts)]

    def signal(self, host: int, number: int, attempt: int = 0) -> None:
        """Send a signal to the trainer in a host's pod."""
        self.cluster.kill(self.pod(host, attempt), self.namespace, number)

    def delete_pod(self, pod: str) -> None:
        """Delete a pod, as `kubectl delete pod` does."""
        self.cluster.api.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod}")

    def evict(self, pod: str) -> None:
        """Evict a pod through the API server, as a drain of its node does."""
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
        """The text of an object in the run directory."""
        return self._get(f"o/{urllib.parse.quote(f'{self.name}/{name}', safe='')}?alt=media")

    def _get(self, path: str) -> str:
        url = f"{self.cluster.bucket.url}/storage/v1/b/{self.namespace}/{path}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as reply:
            return reply.read().decode()

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl of a kind: train or evaluate."""
        rows = map(json.loads, self.read("metrics.jsonl").splitlines())
        return [row for row in rows if row["kind"] == kind]

    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) of every logged step, after all restarts."""
        return [(row["step"], row["loss"]) for row in self.rows("train")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The rows of events.jsonl with a name, over all attempts."""
        rows = map(json.loads, self.read("events.jsonl").splitlines())
        return [row for row in rows if row["name"] == name]
