"""People with few rights who use the command line."""

import json
from pathlib import Path
from typing import Any

import yaml
from commands import Result
from testcluster import Cluster
from testcluster.api import Object

from launcher.cli import main

RBAC = "rbac.authorization.k8s.io"


class Person:
    """A service account with the rights of `rules` that runs command lines in its namespace."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, capsys: Any, *rules: Object) -> None:
        self.namespace, self.capsys, self.kubeconfig = namespace, capsys, folder / "kubeconfig"
        here = {"name": "jane", "namespace": namespace}
        role: Object = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": here, "rules": list(rules)}
        binding: Object = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": here,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "jane"},
            "subjects": [{"kind": "ServiceAccount", **here}],
        }
        account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here}
        cluster.api.apply([account, role, binding])
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/jane/token"
        token = cluster.api.request("POST", path, {"spec": {}})["status"]["token"]
        admin = yaml.safe_load(cluster.kubeconfig.read_text())
        admin["users"][0]["user"] = {"token": token}
        self.kubeconfig.write_text(json.dumps(admin))

    def __call__(self, line: str) -> Result:
        flags = ["--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace]
        code = main([*line.split(), *flags])
        out, err = self.capsys.readouterr()
        return Result(code, out, err)

    def read_kubeconfig(self) -> Any:
        return yaml.safe_load(self.kubeconfig.read_text())
