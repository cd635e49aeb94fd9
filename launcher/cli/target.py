"""The cluster and namespace that a verb works on, and the parameters that verbs share."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options
from launcher.request import kubernetes_names, readers

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster


def flags(namespace: bool = True) -> list[click.Parameter]:
    """Return --context, --kubeconfig and, unless it is already a field of the request, --namespace."""
    params: list[click.Parameter] = [
        _flag("--context", "NAME", "context of the kubeconfig; the current context if not given"),
        _flag("--kubeconfig", "FILE", "kubeconfig file; KUBECONFIG or ~/.kube/config if not given"),
    ]
    if namespace:
        params.append(_flag("--namespace", "NAME", "namespace of the run; the context's if not given"))
    return params


def as_json() -> click.Parameter:
    return click.Option(["--json", "as_json"], is_flag=True, help="print JSON")


def name() -> click.Parameter:
    return click.Argument(["name"], type=options.Checked(kubernetes_names.run))


def yes() -> click.Parameter:
    return click.Option(["--yes", "-y"], is_flag=True, help="do not ask")


def timeout(default: str) -> click.Parameter:
    return click.Option(
        ["--timeout"],
        type=options.Checked(readers.seconds),
        default=default,
        metavar="DURATION",
        help=f"longest time to wait; {default} if not given",
    )


def cluster(context: str | None, kubeconfig: str | None, namespace: str | None) -> Cluster:
    """Return the cluster that these flags name.

    The namespace may also come from the environment or from resnet-launch.yaml.
    """
    from launcher.cluster.api import Cluster

    namespace = options.values({"namespace": namespace}).get("namespace")
    if namespace:
        namespace = options.check("namespace", kubernetes_names.namespace, namespace)
    return Cluster(context, namespace, kubeconfig)


def again(context: str | None, kubeconfig: str | None, namespace: str | None) -> str:
    """Return these flags as text to append to the next command, each with a space before it."""
    flags = {"--context": context, "--kubeconfig": kubeconfig, "--namespace": namespace}
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in flags.items() if value)


def _flag(flag: str, metavar: str, text: str) -> click.Option:
    option: Any = click.Option([flag], metavar=metavar, help=text)
    option.heading = "Cluster"
    return option
