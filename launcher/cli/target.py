"""Which cluster and namespace a verb works on: the same three flags everywhere."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options
from launcher.request import kubernetes_names

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster


def flags(namespace: bool = True) -> list[click.Parameter]:
    """--context and --kubeconfig, and --namespace where it is not a field of the request already."""
    found: list[click.Parameter] = [
        _flag("--context", "NAME", "context of the kubeconfig; its current one if not given"),
        _flag("--kubeconfig", "FILE", "KUBECONFIG or ~/.kube/config if not given"),
    ]
    return found + ([_flag("--namespace", "NAME", "the context's if not given")] if namespace else [])


def as_json() -> click.Parameter:
    return click.Option(["--json", "as_json"], is_flag=True, help="print JSON")


def name() -> click.Parameter:
    return click.Argument(["name"], type=options.Checked(kubernetes_names.run))


def yes() -> click.Parameter:
    return click.Option(["--yes", "-y"], is_flag=True, help="do not ask")


def cluster(context: str | None, kubeconfig: str | None, namespace: str | None) -> Cluster:
    """The cluster of these flags; the namespace may also come from the environment or resnet-launch.yaml."""
    from launcher.cluster.api import Cluster

    found = options.values({"namespace": namespace}).get("namespace")
    return Cluster(
        context, found and options.check("namespace", kubernetes_names.namespace, found), kubeconfig
    )


def again(context: str | None, kubeconfig: str | None, namespace: str | None) -> str:
    """The same flags for the next command, each with a space before it."""
    given = {"--context": context, "--kubeconfig": kubeconfig, "--namespace": namespace}
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in given.items() if value)


def _flag(flag: str, metavar: str, text: str) -> click.Option:
    option: Any = click.Option([flag], metavar=metavar, help=text)
    option.heading = "Cluster"
    return option
