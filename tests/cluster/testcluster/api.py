"""The few calls the cluster itself makes to its API server: ready, get, apply, delete."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

from testcluster.certificates import Pair
from testcluster.errors import ClusterError

ANSWER_SECONDS = 20
APPLY_TRIES = 40
APPLY_PAUSE_SECONDS = 0.25
# Retried: a starting webhook, a CRD that is being established, an object that changed meanwhile.
PASSING = (404, 409, 429, 500, 503, 504)

Object = dict[str, Any]


class Refused(ClusterError):
    """The API server refused a request; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """A client of the API server at `url`, with the certificate of `user`."""

    def __init__(self, url: str, authority: Pair, user: Pair) -> None:
        self.url = url
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.load_cert_chain(user.certificate, user.key)
        # The sandbox is on this machine, so a proxy of the environment must not be used.
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def request(
        self, method: str, path: str, body: Object | None = None, content: str = "application/json"
    ) -> Any:
        """Make one call; return the decoded reply. Raises Refused with the server's message, or OSError."""
        return json.loads(self._send(method, path, body, content))

    def text(self, path: str) -> str:
        """Return the reply to a GET that is not JSON, such as a log."""
        return self._send("GET", path).decode(errors="replace")

    def _send(
        self, method: str, path: str, body: Object | None = None, content: str = "application/json"
    ) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": content}
        )
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise Refused(error.code, f"{method} {path}: {_message(text)}") from None

    def ready(self) -> bool:
        """Return whether the server reports that it is ready."""
        return self.text("/readyz") == "ok"

    def path(self, manifest: Object) -> str:
        """Return the path of an object, from the server's own list of resources."""
        group_version, kind = manifest["apiVersion"], manifest["kind"]
        base = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
        if (group_version, kind) not in self._plurals:
            for resource in self.request("GET", base)["resources"]:
                if "/" not in resource["name"]:
                    self._plurals[group_version, resource["kind"]] = resource["name"], resource["namespaced"]
        if (group_version, kind) not in self._plurals:
            raise Refused(404, f"{group_version} {kind}: not served yet")
        plural, namespaced = self._plurals[group_version, kind]
        metadata = manifest["metadata"]
        middle = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{base}{middle}/{plural}/{metadata['name']}"

    def get(self, manifest: Object) -> Object:
        """Return the object that `manifest` names by apiVersion, kind and metadata."""
        return self.request("GET", self.path(manifest))

    def delete(self, manifest: Object) -> None:
        """Delete the object that `manifest` names and its dependents; a missing object is no error."""
        try:
            self.request("DELETE", self.path(manifest) + "?propagationPolicy=Background")
        except Refused as error:
            if error.code != 404:
                raise

    def apply(self, manifests: Iterable[Object]) -> None:
        """Apply manifests in order on the server; retry while webhooks and CRDs are starting."""
        for manifest in manifests:
            for last in range(APPLY_TRIES - 1, -1, -1):
                try:
                    query = "?fieldManager=test-cluster&force=true"
                    self.request(
                        "PATCH", self.path(manifest) + query, manifest, "application/apply-patch+yaml"
                    )
                    break
                except Refused as error:
                    if error.code not in PASSING or not last:
                        raise
                time.sleep(APPLY_PAUSE_SECONDS)


def _message(text: str) -> str:
    try:
        return json.loads(text).get("message", text)
    except ValueError:
        return text[:300]
