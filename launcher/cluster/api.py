"""Requests to the API server: JSON in, JSON out, errors as sentences. No other module sends any.

The Kubernetes client locates the cluster and authenticates. Its models are not used, because converting 512
pods to them takes longer than fetching the pods.
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
MANAGER = "resnet-launch"  # field manager of every apply and patch
PAGE = 500  # objects per list request
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
    """The API server does not respond or a connection broke; a retry may succeed."""


class Cluster:
    """A client of one API server with a default namespace.

    Args:
      context: name of a kubeconfig context; default: the current context.
      namespace: default: the namespace of the context.
      kubeconfig: path of a file; default: KUBECONFIG, ~/.kube/config, or the service account in a pod.

    Raises:
      ActionError: no cluster is configured, or the configuration is wrong.
    """

    def __init__(
        self, context: str | None = None, namespace: str | None = None, kubeconfig: str | None = None
    ) -> None:
        client, context_namespace, self.context = connect(context, kubeconfig)
        self.namespace = namespace or context_namespace
        self.server: str = client.configuration.host
        self._client = client

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: Any
    ) -> JSON:
        """Send one request and return the reply.

        Args:
          path: path on the server, such as `self.path("Pod")`.
          body: sent as JSON; None for no body.
          kind: media type of the body.
          query: parameters of the URL.

        Raises:
          Refused: the reply has a status of 400 or more.
          Unreachable: there is no reply.
        """
        response = self._send(method, path, query, body, kind)
        return json.loads(response.data or b"{}")

    def get(self, kind: str, name: str) -> JSON | None:
        """Return the object of this name in the namespace; None where there is none."""
        try:
            return self.request("GET", f"{self.path(kind)}/{name}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, **query: Any) -> tuple[list[JSON], str]:
        """Return (all matching objects, resource version to watch from), fetched in pages."""
        path, items, token = self.path(kind, namespace), [], ""
        while True:
            page = self.request("GET", path, limit=PAGE, **({"continue": token} if token else {}), **query)
            items += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    def watch(self, kind: str, version: str, seconds: float, **query: Any) -> Iterator[tuple[str, JSON]]:
        """Yield (ADDED | MODIFIED | DELETED, object) from a resource version on, for `seconds`.

        Raises Refused with status 410 where the version is too old: list again.
        """
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": max(int(seconds), 1)} | query
        # The read timeout exceeds the watch, so that a dead connection fails soon after the watch should end.
        read_seconds = seconds + READ_SECONDS
        response = self._send("GET", self.path(kind), query, stream=True, read_seconds=read_seconds)
        for line in _lines(response):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise refusal(event["object"].get("code", 500), event["object"], f"watch {kind}")
            yield event["type"], event["object"]

    def serves(self, kind: str) -> bool:
        """Return whether the cluster has this kind and the user may list it."""
        try:
            self.request("GET", self.path(kind), limit=1)
        except Refused as error:
            if error.status in (403, 404):
                return False
            raise
        return True

    def apply(self, manifest: JSON, dry_run: bool = False) -> JSON:
        """Apply an object on the server side and return it; unknown fields are errors.

        With `dry_run` the server checks the object and stores nothing.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        path = f"{self.path(manifest['kind'])}/{manifest['metadata']['name']}"
        return self.request("PATCH", path, manifest, "application/apply-patch+yaml", **query)

    def patch(self, kind: str, name: str, change: JSON) -> JSON:
        """Apply a JSON merge patch to an object and return the result."""
        path = f"{self.path(kind)}/{name}"
        return self.request("PATCH", path, change, "application/merge-patch+json", fieldManager=MANAGER)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object in the foreground: it disappears after everything that it owns."""
        options = {"propagationPolicy": "Foreground"}
        self.request("DELETE", f"{self.path(kind)}/{name}", options)

    def log(self, pod: str, follow: bool = False, **query: Any) -> Iterator[str]:
        """Yield the log lines of a pod's trainer container; with `follow` until the container ends."""
        query = {"container": "trainer", "follow": "true" if follow else "false"} | query
        read_seconds = None if follow else READ_SECONDS
        path = f"{self.path('Pod')}/{pod}/log"
        response = self._send("GET", path, query, stream=True, read_seconds=read_seconds)
        for line in _lines(response):
            yield line.decode(errors="replace")

    def path(self, kind: str, namespace: str | None = None) -> str:
        """Return the path of a kind's objects; namespace None is the default one, "" all of them."""
        group, plural = GROUPS[kind]
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        if namespace is None:
            namespace = self.namespace
        return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"

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
        if not stream:  # 512 pods are megabytes of JSON, compressed a tenth of that
            headers["Accept-Encoding"] = "gzip"
        for setting in self._client.configuration.auth_settings().values():  # refreshes an expired token
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
                f"is {self.context!r} the right context, and can this machine reach its network?",
            ) from None
        if response.status >= 400:
            raise refusal(response.status, _body(response.data), f"{method.lower()} {path}")
        return response


def selector(run: str) -> str:
    """Return the label selector of a run's pods."""
    return f"{keys.JOBSET_NAME}={run}"


def _lines(response: Any) -> Iterator[bytes]:
    """Yield the lines of a streamed reply. Raises Unreachable where the connection breaks."""
    import urllib3

    unfinished = b""
    try:
        for chunk in response.stream(1 << 16, decode_content=True):
            *lines, unfinished = (unfinished + chunk).split(b"\n")
            yield from lines
        if unfinished:
            yield unfinished
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"the connection to the cluster broke: {_cause(error)}") from None
    finally:
        response.close()  # before release: a connection with a half-read reply must not be reused
        response.release_conn()


def _body(data: bytes) -> JSON:
    try:
        return json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace").strip()}


def _cause(error: Any) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).split(": ", 1)[-1] if ">: " in str(reason) else str(reason)
