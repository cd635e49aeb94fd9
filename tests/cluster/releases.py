"""Releases of the charts on the test cluster, and the kubeconfig of one of its service accounts."""

import base64
from pathlib import Path

import yaml
from charts import Helm, Result
from testcluster import Cluster


class Release:
    """helm against the test cluster, in one namespace."""

    def __init__(self, helm: Helm, cluster: Cluster, namespace: str) -> None:
        self.helm, self.cluster, self.namespace = helm, cluster, namespace

    def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> Result:
        scope = ("--namespace", self.namespace)
        result = self.helm(*arguments, *scope, stdin=stdin, kubeconfig=self.cluster.kubeconfig)
        assert (result.code != 0) == fails, result.err
        return result


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
