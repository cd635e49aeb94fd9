"""Releases of the charts on the test cluster, and the kubeconfig of one of its service accounts."""

import base64
import time
from pathlib import Path

import yaml
from charts import Helm, Result
from testcluster import Cluster
from testcluster.api import Refused
from testcluster.objects import eventually

CLUSTER_WIDE = ("clusterqueues", "resourceflavors", "topologies")  # of Kueue


class Release:
    """helm against the test cluster, in one namespace."""

    def __init__(self, helm: Helm, cluster: Cluster, namespace: str) -> None:
        self.helm, self.cluster, self.namespace = helm, cluster, namespace

    def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> Result:
        scope = ("--namespace", self.namespace)
        result = self.helm(*arguments, *scope, stdin=stdin, kubeconfig=self.cluster.kubeconfig)
        assert (result.code != 0) == fails, result.err
        return result

    def uninstall_platform(self, name: str) -> None:
        """Uninstall the release `name`; return once Kueue's objects of the whole cluster are gone with it.

        Kueue frees a Topology one second after its last ResourceFlavor was deleted. Where its cache still
        holds the flavor then, it does not look again (Kueue issue 12572): `helm uninstall --wait` never
        ends. Any change of the Topology makes Kueue look.
        """
        self("uninstall", name)

        def gone() -> bool:
            going = [path for kind in CLUSTER_WIDE for path in self._terminating(kind)]
            for path in going:
                touched = {"metadata": {"annotations": {"touched": str(time.time())}}}
                try:
                    self.cluster.api.request("PATCH", path, touched, "application/merge-patch+json")
                except Refused as error:
                    if error.code != 404:
                        raise
            time.sleep(0.5 if going else 0)
            return not going

        assert eventually(gone, 60), [path for kind in CLUSTER_WIDE for path in self._terminating(kind)]

    def _terminating(self, kind: str) -> list[str]:
        """Return the paths of Kueue's objects of a kind that are being deleted."""
        path = f"/apis/kueue.x-k8s.io/v1beta1/{kind}"
        metadata = [item["metadata"] for item in self.cluster.api.request("GET", path)["items"]]
        return [f"{path}/{item['name']}" for item in metadata if "deletionTimestamp" in item]


def kubeconfig_of(cluster: Cluster, namespace: str, account: str, path: Path) -> Path:
    """Write a kubeconfig of a service account, with a token from the API server; return its path."""
    metadata = {"name": account, "namespace": namespace}
    cluster.api.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}])
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    tokens = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    token = cluster.api.request("POST", tokens, request)["status"]["token"]
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"] = [{"name": user["name"], "user": {"token": token}} for user in document["users"]]
    for context in document["contexts"]:
        context["context"]["namespace"] = namespace
    path.write_text(yaml.safe_dump(document))
    assert account in base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    return path
