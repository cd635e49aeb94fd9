"""The only module that talks to an API server: JSON in, JSON out, and refusals in words.

The Kubernetes client finds and authenticates the cluster; its models are not used, because turning 512 pods
into them takes longer than fetching them.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from launcher import keys
from launcher.cluster.kubeconfig import connect
from launcher.cluster.refusals import Refused, refusal
from launcher.errors import ActionError

JSON = dict[str, Any]
MANAGER = "resnet-launch"  # field manager of everything that is applied
PAGE = 500  # objects a list request
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
GROUPS = {
    "JobSet": ("jobset.x-k8s.io/v1alpha2", "jobsets"),
    "ComputeDomain": ("resource.nvidia.com/v1beta1", "computedomains"),
    "Workload": ("kueue.x-k8s.io/v1beta2", "workloads"),
    "OldWorkload": ("kueue.x-k8s.io/v1beta1", "workloads"),  # Kueue before 0.14
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
    "ConfigMap": ("v1", "configmaps"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Node": ("v1", "nodes"),
    "Deployment": ("apps/v1", "deployments"),
    "LocalQueue": ("kueue.x-k8s.io/v1beta1", "localqueues"),
    "ClusterQueue": ("kueue.x-k8s.io/v1beta1", "clusterqueues"),
    "ResourceFlavor": ("kueue.x-k8s.io/v1beta1", "resourceflavors"),
}


class Unreachable(ActionError):
    """The API server does not answer, or a connection to it broke: it may be there again in a moment."""


class Cluster:
    """One API server and the namespace to work in.

    Args:
      context: of the kubeconfig; its current one if not given.
      namespace: the context's if not given.
      kubeconfig: file; KUBECONFIG or ~/.kube/config if not given, or the pod's own account in a cluster.

    Raises:
      ActionError: no cluster is configured, or the configuration is wrong.
    """

    def __init__(
        self, context: str | None = None, namespace: str | None = None, kubeconfig: str | None = None
    ) -> None:
        client, found, self.context = connect(context, kubeconfig)
        self.namespace = namespace or found
        self.server: str = client.configuration.host
        self._client = client

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: Any
    ) -> JSON:
        """One call; raises Refused for a status of 400 and more."""
        response = self._send(method, path, query, body, kind)
        return json.loads(response.data or b"{}")

    def get(self, kind: str, name: str) -> JSON | None:
        """One object of the namespace, or None where there is none of that name."""
        try:
            return self.request("GET", f"{self.path(kind)}/{name}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, **query: Any) -> tuple[list[JSON], str]:
        """(all objects that match, resource version to watch from), fetched in pages."""
        path, found, token = self.path(kind, namespace), [], ""
        while True:
            page = self.request("GET", path, limit=PAGE, **({"continue": token} if token else {}), **query)
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return found, page["metadata"]["resourceVersion"]

    def watch(self, kind: str, version: str, seconds: float, **query: Any) -> Iterator[tuple[str, JSON]]:
        """(ADDED | MODIFIED | DELETED, object) from a resource version on; ends after so many seconds.

        Raises Refused with status 410 where the version is too old: list again.
        """
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": max(int(seconds), 1)} | query
        # A connection that died without a word is found out soon after the server should have ended it.
        response = self._send("GET", self.path(kind), query, stream=True, read_seconds=seconds + READ_SECONDS)
        for line in _lines(response):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise refusal(event["object"].get("code", 500), event["object"], f"watch {kind}")
            yield event["type"], event["object"]

    def knows(self, kind: str) -> bool:
        """Whether the cluster serves a kind, and lets us list it."""
        try:
            self.request("GET", self.path(kind), limit=1)
        except Refused as error:
            if error.status in (403, 404):
                return False
            raise
        return True

    def apply(self, thing: JSON, dry_run: bool = False) -> JSON:
        """Server-side apply, strict about unknown fields; with ``dry_run`` nothing is stored."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{self.path(thing['kind'])}/{thing['metadata']['name']}"
        return self.request("PATCH", path, thing, "application/apply-patch+yaml", **query)

    def patch(self, kind: str, name: str, change: JSON) -> JSON:
        path = f"{self.path(kind)}/{name}"
        return self.request("PATCH", path, change, "application/merge-patch+json", fieldManager=MANAGER)

    def delete(self, kind: str, name: str) -> None:
        """Deletes in the foreground: the object goes after all that it owns."""
        options = {"propagationPolicy": "Foreground"}
        self.request("DELETE", f"{self.path(kind)}/{name}", options)

    def log(self, pod: str, follow: bool = False, **query: Any) -> Iterator[str]:
        """Lines of a pod's trainer; with ``follow`` until the container ends."""
        query = {"container": "trainer", "follow": "true" if follow else "false"} | query
        read_seconds = None if follow else READ_SECONDS
        path = f"{self.path('Pod')}/{pod}/log"
        response = self._send("GET", path, query, stream=True, read_seconds=read_seconds)
        for line in _lines(response):
            yield line.decode(errors="replace")

    def path(self, kind: str, namespace: str | None = None) -> str:
        """Where the objects of a kind are; namespace "" is all of them."""
        group, plural = GROUPS[kind]
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        place = self.namespace if namespace is None else namespace
        return f"{root}/namespaces/{place}/{plural}" if place else f"{root}/{plural}"

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any = None,
        kind: str = "",
        stream: bool = False,
        read_seconds: float | None = READ_SECONDS,
    ) -> Any:
        import urllib3

        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if body is not None else {})
        if not stream:  # 512 pods are megabytes of JSON, and a tenth of that on the wire
            headers["Accept-Encoding"] = "gzip"
        for setting in self._client.configuration.auth_settings().values():  # refreshes a token that is old
            headers[setting["key"]] = setting["value"]
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                f"{self.server}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else ""),
                headers=headers,
                body=None if body is None else json.dumps(body),
                preload_content=not stream,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                retries=urllib3.Retry(3, backoff_factor=0.2, status=0) if method == "GET" else False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"the cluster at {self.server} cannot be reached: {_cause(error)}",
                f"is context {self.context!r} right, and is this machine in its network?",
            ) from None
        if response.status >= 400:
            raise refusal(response.status, _body(response.data), f"{method.lower()} {path}")
        return response


def selector(run: str) -> str:
    """What selects the pods of a run."""
    return f"{keys.JOBSET_NAME}={run}"


def _lines(response: Any) -> Iterator[bytes]:
    """Whole lines of a streamed answer; raises Unreachable where it breaks off."""
    import urllib3

    rest = b""
    try:
        for chunk in response.stream(1 << 16, decode_content=True):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"the connection to the cluster broke: {_cause(error)}") from None
    finally:
        response.close()  # first: a connection with an answer half read must not be used again
        response.release_conn()


def _body(data: bytes) -> JSON:
    try:
        return json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace").strip()}


def _cause(error: Any) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).split(": ", 1)[-1] if ">: " in str(reason) else str(reason)
