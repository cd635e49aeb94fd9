"""Objects of the API server: JSON in, JSON out, errors as sentences. No other module asks for any.

The Kubernetes client locates the cluster and authenticates. Its models are not used, because converting 512
pods to them takes longer than fetching the pods.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from launcher import keys
from launcher.cluster import replies, shapes
from launcher.cluster.connection import Connection
from launcher.cluster.exchange import Request
from launcher.cluster.refusals import Refused, refusal
from launcher.cluster.replies import NotUnderstood, Unanswered, Unreachable

__all__ = ["GROUPS", "JSON", "Cluster", "NotUnderstood", "Unanswered", "Unreachable", "selector"]

JSON = dict[str, Any]
MANAGER = "resnet-launch"  # field manager of every apply and patch
PAGE = 500  # objects per list request
LISTINGS = 3  # of a list whose pages expire while it is read
QUIET_SECONDS = 120.0  # longest silence of a followed log before its connection counts as dead
# A version that no object has: applied with it, an object is created; one that exists is a conflict (409).
NEW = "1"
GROUPS = {
    "JobSet": ("jobset.x-k8s.io/v1alpha2", "jobsets"),
    "ComputeDomain": ("resource.nvidia.com/v1beta1", "computedomains"),
    "ResourceClaimTemplate": ("resource.k8s.io/v1", "resourceclaimtemplates"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
    "ConfigMap": ("v1", "configmaps"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Node": ("v1", "nodes"),
    "Deployment": ("apps/v1", "deployments"),
}
OLDER = "Older"  # before a kind of Kueue's: its v1beta1, the only version before Kueue 0.15
KUEUE = {
    "Workload": "workloads",
    "LocalQueue": "localqueues",
    "WorkloadPriorityClass": "workloadpriorityclasses",
    "ClusterQueue": "clusterqueues",
    "ResourceFlavor": "resourceflavors",
}
GROUPS |= {kind: ("kueue.x-k8s.io/v1beta2", plural) for kind, plural in KUEUE.items()}
GROUPS |= {OLDER + kind: ("kueue.x-k8s.io/v1beta1", plural) for kind, plural in KUEUE.items()}


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
        self._connection = Connection(context, kubeconfig)
        self.namespace = namespace or self._connection.namespace
        self.context, self.server = self._connection.context, self._connection.server

    def warn(self, text: str) -> None:
        """Print a warning on stderr, unless the same text has been printed before."""
        self._connection.warn(text)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        expected: str = "a JSON object",
        repeatable: bool | None = None,
        **query: Any,
    ) -> JSON:
        """Send one request and return the reply.

        Args:
          path: path on the server, such as `self.path("Pod")`.
          body: sent as JSON; None for no body.
          kind: media type of the body.
          expected: what the reply should be, for errors.
          repeatable: nothing changes if it is carried out twice; default: for GET and dry runs.
          query: parameters of the URL.

        Raises:
          Refused: the reply has a status of 400 or more.
          Unreachable: there is no reply, or none of a Kubernetes API server, and nothing was changed.
          Unanswered: there is none, and the request may have been carried out.
        """
        harmless = method == "GET" or "dryRun" in query if repeatable is None else repeatable
        text = None if body is None else json.dumps(body)
        request = Request(
            method=method,
            path=path,
            query=query,
            body=text,
            media_type=kind,
            repeatable=harmless,
            expected=expected,
        )
        try:
            return self._connection.send(request)
        except NotUnderstood as error:
            raise (error if harmless else request.broken(str(error), error.hint)) from None

    def get(self, kind: str, name: str, namespace: str | None = None) -> JSON | None:
        """Return the object of this name; None where there is none.

        Namespace None is the default one, "" is for objects of the whole cluster.
        """
        path = f"{self.path(kind, namespace)}/{name}"
        try:
            reply = self.request("GET", path, expected=f"a {_kind(kind)}")
        except Refused as error:
            if error.about in ("absent", "namespace"):
                return None
            raise
        return self._object(kind, name, reply, f"GET {path}")

    def list(self, kind: str, namespace: str | None = None, **query: Any) -> tuple[list[JSON], str]:
        """Return (all matching objects, resource version to watch from), fetched in pages."""
        for listing in range(LISTINGS):
            try:
                # A list whose pages expired is asked for in one piece, which no later page can follow.
                return self._pages(kind, namespace, {"limit": PAGE} if not listing else {}, query)
            except Refused as error:
                if error.status != 410 or listing == LISTINGS - 1:
                    raise
        raise AssertionError("the last listing returns or raises")

    def _pages(self, kind: str, namespace: str | None, limit: JSON, query: JSON) -> tuple[list[JSON], str]:
        path, items, query = self.path(kind, namespace), [], limit | query
        expected = f"a list of {GROUPS[kind][1]}"
        while True:
            page = self.request("GET", path, expected=expected, **query)
            entries, metadata = page.get("items"), page.get("metadata")
            # Without objects the kind alone says that there are none, and not something else.
            named = str(page.get("kind", "List" if entries else "")).endswith("List")
            if "items" not in page or not named or not isinstance(entries, list | None):
                raise replies.not_understood(f"GET {path}", expected, replies.named(page))
            items += entries or []
            metadata = metadata if isinstance(metadata, dict) else {}
            token = metadata.get("continue")
            if token and limit:
                query |= {"continue": token}
            else:
                fitted = [self._fitted(kind, item) for item in items]
                return [item for item in fitted if item is not None], str(metadata.get("resourceVersion", ""))

    def watch(self, kind: str, version: str, seconds: float, **query: Any) -> Iterator[tuple[str, JSON]]:
        """Yield (ADDED | MODIFIED | DELETED, object) from a resource version on, for `seconds`.

        Raises Refused with status 410 where the version is too old: list again.
        """
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": max(int(seconds), 1)} | query
        expected = f"changes of {GROUPS[kind][1]}"
        # The read timeout exceeds the watch, so that a dead connection fails soon after the watch should end.
        request = Request(
            method="GET",
            path=self.path(kind),
            query=query,
            stream=True,
            read_seconds=seconds + 10,
            expected=expected,
        )
        for line in self._connection.stream(request):
            if not line.strip():
                continue
            event = replies.document(line, request)
            change, obj = event.get("type"), event.get("object")
            if not isinstance(change, str) or not isinstance(obj, dict):
                raise replies.not_understood(str(request), expected, replies.named(event))
            if change == "ERROR":
                code = obj.get("code")
                raise refusal(code if isinstance(code, int) else 500, obj, f"watch {kind}")
            if change in ("ADDED", "MODIFIED", "DELETED"):  # a BOOKMARK says only how far the watch is
                fitted = self._fitted(kind, obj)
                if fitted is not None:
                    yield change, fitted

    def serves(self, kind: str) -> bool:
        """Return whether the cluster has this kind and the user may list it."""
        try:
            self.request("GET", self.path(kind), limit=1)
        except Refused as error:
            if error.status in (403, 404):
                return False
            raise
        return True

    def apply(self, manifest: JSON, dry_run: bool = False, create: bool = False) -> JSON:
        """Apply an object on the server side and return it; unknown fields are errors.

        Args:
          dry_run: the server checks the object and stores nothing.
          create: an object of this name must not exist; if it does, Refused has status 409.
        """
        query: JSON = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        kind, metadata = manifest["kind"], manifest["metadata"]
        if create:
            manifest = manifest | {"metadata": metadata | {"resourceVersion": NEW}}
        path = f"{self.path(kind)}/{metadata['name']}"
        expected = f"the {kind} {metadata['name']!r}"
        media_type = "application/apply-patch+yaml"
        reply = self.request("PATCH", path, manifest, media_type, expected, **query)
        return self._stored(kind, metadata["name"], reply, f"PATCH {path}", dry_run)

    def patch(self, kind: str, name: str, change: JSON) -> JSON:
        """Apply a JSON merge patch to an object and return the result."""
        path = f"{self.path(kind)}/{name}"
        expected, media_type = f"the {_kind(kind)} {name!r}", "application/merge-patch+json"
        query: JSON = {"fieldManager": MANAGER}
        reply = self.request("PATCH", path, change, media_type, expected, **query)
        return self._stored(kind, name, reply, f"PATCH {path}", False)

    def delete(self, kind: str, name: str, uid: str = "") -> None:
        """Delete an object in the foreground: it disappears after everything that it owns.

        With a `uid` only that object is deleted; another one of the name is refused with status 409.
        """
        options: JSON = {"propagationPolicy": "Foreground"}
        if uid:
            options["preconditions"] = {"uid": uid}
        path = f"{self.path(kind)}/{name}"
        self.request("DELETE", path, options, expected=f"the {_kind(kind)} or a Status")

    def log(self, pod: str, follow: bool = False, keepends: bool = False, **query: Any) -> Iterator[str]:
        """Yield the log lines of a pod's trainer container; with `follow` until the container ends.

        Args:
          keepends: leave the line breaks, so that an unfinished last line can be told.
        """
        query = {"container": "trainer", "follow": "true" if follow else "false"} | query
        request = Request(
            method="GET",
            path=f"{self.path('Pod')}/{pod}/log",
            query=query,
            stream=True,
            read_seconds=QUIET_SECONDS if follow else 60.0,
            expected="lines of a log",
        )
        for line in self._connection.stream(request):
            text = line.decode(errors="replace")
            yield text if keepends else text.removesuffix("\n")

    def path(self, kind: str, namespace: str | None = None) -> str:
        """Return the path of a kind's objects; namespace None is the default one, "" all of them."""
        group, plural = GROUPS[kind]
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        if namespace is None:
            namespace = self.namespace
        return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"

    def _stored(self, kind: str, name: str, reply: JSON, request: str, dry_run: bool) -> JSON:
        """Return the reply to a change.

        Raises Unanswered, or NotUnderstood for a dry run, where it is not the object.
        """
        metadata = reply.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        is_stored = metadata.get("name") == name and (dry_run or bool(metadata.get("uid")))
        if reply.get("kind") == _kind(kind) and is_stored:
            return reply
        came = replies.named(reply) + ("" if metadata.get("uid") or dry_run else " without a uid")
        error = replies.not_understood(request, f"the {_kind(kind)} {name!r}", came)
        raise error if dry_run else Unanswered(request, str(error), error.hint)

    def _object(self, kind: str, name: str, reply: JSON, request: str) -> JSON:
        """Return the reply to a GET. Raises NotUnderstood where it is not the object that was asked for."""
        metadata = reply.get("metadata")
        is_custom = "." in GROUPS[kind][0].partition("/")[0]
        fits = reply.get("kind", None if is_custom else _kind(kind)) == _kind(kind)
        if not fits or not isinstance(metadata, dict) or metadata.get("name", name) != name:
            raise replies.not_understood(request, f"the {_kind(kind)} {name!r}", replies.named(reply))
        problems: list[str] = []
        fitted = shapes.fit(kind, reply, problems)
        if fitted is None:
            raise replies.not_understood(
                request, f"the {_kind(kind)} {name!r}", f"one in which {'; '.join(problems)}"
            )
        self._warn_of(kind, reply, problems, "left out")
        return fitted

    def _fitted(self, kind: str, item: Any) -> JSON | None:
        problems: list[str] = []
        fitted = shapes.fit(kind, item, problems)
        self._warn_of(kind, item, problems, "left out" if fitted else "the object is left out")
        return fitted

    def _warn_of(self, kind: str, item: Any, problems: list[str], consequence: str) -> None:
        if problems:
            name = replies.named({"kind": _kind(kind), **(item if isinstance(item, dict) else {})})
            more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
            self.warn(replies.printable(f"{name}: {problems[-1]}{more}: {consequence}"))


def selector(run: str) -> str:
    """Return the label selector of a run's pods."""
    return f"{keys.JOBSET_NAME}={run}"


def _kind(kind: str) -> str:
    """Return the kind of a key of GROUPS."""
    return kind.removeprefix(OLDER)
