"""Errors for a person with few rights, and verbs for which few rights suffice."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from people import Person
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually

from launcher.cli import main

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --slice cpu-2x1 --arch resnet18 --data digits --bucket b-1 --image r/i:1 --name run"


def test_without_rights_the_error_names_the_missing_one(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys)
    who = f"system:serviceaccount:{namespace}:jane"
    result = jane("list")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        f'error: {who} may not list jobsets in the namespace "{namespace}"',
        "hint: ask the cluster's team for a role that allows it, or use another --namespace",
    ]
    assert jane("list -A").err.splitlines()[0] == f"error: {who} may not list jobsets at the cluster scope"
    warning, error, _ = jane(RUN).err.splitlines()
    assert warning == (
        "warning: the team's defaults are not used (image, bucket, queue): "
        f'{who} may not get configmaps in the namespace "{namespace}"'
    )
    assert error == f'error: {who} may not get jobsets in the namespace "{namespace}"'


def test_rights_on_jobsets_and_to_read_pods_suffice(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    verbs = ["get", "list", "watch", "create", "patch", "delete"]
    jobsets: Object = {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": verbs}
    read: Object = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    jane = Person(control_plane, namespace, tmp_path, capsys, jobsets, read)
    assert jane(RUN).code == 0
    assert eventually(lambda: jane("status run --json").json["pods"] == {"Pending": 2})
    assert jane("suspend run").code == 0
    assert jane("delete run --yes").code == 0
    assert jane("list --json").json == []


@pytest.mark.parametrize("way", ["tokenFile", "exec"])
def test_a_token_may_come_from_a_file_or_a_plugin(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any, way: str
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys)
    config = jane.read_kubeconfig()
    token = config["users"][0]["user"].pop("token")
    credential = tmp_path / "credential"
    if way == "tokenFile":
        credential.write_text(token)
        user: Object = {"tokenFile": "credential"}
    else:
        api = {"apiVersion": "client.authentication.k8s.io/v1"}
        credential.write_text(json.dumps({**api, "kind": "ExecCredential", "status": {"token": token}}))
        user = {"exec": {**api, "command": "cat", "args": [str(credential)], "interactiveMode": "Never"}}
    config["users"][0]["user"] = user
    jane.kubeconfig.write_text(json.dumps(config))
    assert jane("list").err.startswith(f"error: system:serviceaccount:{namespace}:jane may not list jobsets")


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"as": "ann@example.com"}, "ann@example.com may not list jobsets"),
        ({"as": "system:serviceaccount:a:b", "as-groups": ["x", "y"]}, "system:serviceaccount:a:b may not"),
        ({"as": "ann", "as-groups": ["x", "system:masters"]}, ""),
        ({"as-groups": ["x"]}, "the kubeconfig must name a user (as)"),
        ({"as": "ann", "as-groups": "system:masters"}, "as-groups of the kubeconfig must be a list"),
        ({"as": "ann", "as-user-extra": ["a"]}, "as-user-extra a map of lists"),
        (
            {"as": "ann", "as-user-extra": {"a": "b"}},
            "must be a map of lists",
        ),
    ],
)
def test_a_kubeconfig_that_acts_as_somebody_else(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any, fields: Object, who: str
) -> None:
    """Forgotten, the request would have the rights of whoever the certificate is of."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"][0]["user"] |= fields
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    code = main(["list", "--kubeconfig", str(path), "--namespace", namespace])
    err = capsys.readouterr().err
    assert (code == 0) == (who == "")
    assert who in err


def test_a_plugin_without_a_token_is_not_reported_as_missing_rights(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys)
    config = jane.read_kubeconfig()
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": plugin}
    jane.kubeconfig.write_text(json.dumps(config))
    error = jane("list").err.splitlines()[0]
    assert error == (
        "error: the cluster does not know who you are: the credential plugin false of the kubeconfig failed: "
        "process returned 1"
    )


def test_an_authority_that_has_not_signed_the_server(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys)
    config = jane.read_kubeconfig()
    del config["clusters"][0]["cluster"][
        "certificate-authority-data"
    ]  # the system's authorities are used then
    jane.kubeconfig.write_text(json.dumps(config))
    result = jane("list")
    assert result.code == 1
    assert "cannot be reached: " in result.err
    assert "CERTIFICATE_VERIFY_FAILED" in result.err


def test_a_token_that_has_expired_says_so(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys)
    stale = jane.read_kubeconfig()
    stale["users"][0]["user"] = {"token": "not.a.token"}
    jane.kubeconfig.write_text(json.dumps(stale))
    assert jane("list").err.splitlines() == [
        "error: the cluster does not know who you are",
        "hint: log in again: the token may have expired",
    ]
