"""The cluster and namespace that a verb works on, and the parameters that verbs share."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, usage
from launcher.errors import Problem, RequestError
from launcher.request import kubernetes_names, readers, sources

if TYPE_CHECKING:
    from launcher.cluster.api import JSON, Cluster


def flags(namespace: bool = True) -> list[click.Parameter]:
    """Return --context, --kubeconfig and, unless it is already a field of the request, --namespace."""
    params: list[click.Parameter] = [
        _flag("--context", "NAME", "context of the kubeconfig; the current context if not given"),
        _flag("--kubeconfig", "FILE", "kubeconfig file; KUBECONFIG or ~/.kube/config if not given"),
    ]
    if namespace:
        params.append(
            _flag("--namespace", "NAME", "namespace of the run; the context's if not given", short="-n")
        )
    return params


def as_json() -> click.Parameter:
    return click.Option(["--json", "as_json"], is_flag=True, help="print JSON")


def name() -> click.Parameter:
    return click.Argument(["name"], type=options.Checked(kubernetes_names.run))


def optional_name() -> click.Parameter:
    """Return NAME for a verb with `yes_name`, whose value may be the name: see `name_and_yes`."""
    return click.Argument(
        ["name"], type=options.Checked(kubernetes_names.run), required=False, metavar="NAME"
    )


def names() -> click.Parameter:
    """Return NAME… for a verb with `yes_name`; none, where --yes has taken it: see `names_and_yes`."""
    return click.Argument(
        ["names"], type=options.Checked(kubernetes_names.run), nargs=-1, metavar="NAME [NAME …]"
    )


def yes_name() -> click.Parameter:
    """Return --yes, which another person's run needs with its name."""
    return click.Option(
        ["--yes", "-y"],
        is_flag=False,
        flag_value="",
        default=None,
        metavar="[NAME]",
        help="do not ask; for a run that somebody else submitted, with its name",
    )


def name_and_yes(name: str | None, yes: str | None) -> tuple[str, str | None]:
    """Return the run's name and the value of --yes, which has taken the name in `delete --yes NAME`."""
    if name is None and yes:
        return options.check("name", kubernetes_names.run, yes), ""
    if name is None:
        raise RequestError(Problem("name", "must be given", usage.LISTED))
    return name, yes


def names_and_yes(names: tuple[str, ...], yes: str | None) -> tuple[list[str], str | None]:
    """Return the runs' names, each once, and the value of --yes; as `name_and_yes` for one name.

    Raises:
      RequestError: no name was given, or --yes has taken a word that is none of several names.
    """
    if len(names) < 2 and (not names or yes in (None, "")):
        name, yes = name_and_yes(names[0] if names else None, yes)
        return [name], yes
    if yes and yes not in names and len(names) > 1:
        problem = f"must be the last flag, or the name of one of these runs, got {yes!r}"
        raise RequestError(Problem("yes", problem, f"resnet-launch delete {' '.join([*names, yes])} --yes"))
    return [*dict.fromkeys(names)], yes


def require_own(cluster: Cluster, jobset: JSON, yes: str | None, verb: str) -> bool:
    """Refuse to change a JobSet of somebody else; on a terminal ask for the run's name first.

    Returns:
      Whether the person has typed the name, which confirms.

    Raises:
      ActionError: the launcher did not make it.
      RequestError: somebody else submitted it, and its name was not given.
    """
    from launcher.runs import objects, ownership

    ownership.require_ours(jobset)
    typed = ""
    if yes is None and sys.stdin.isatty() and (owner := ownership.other_owner(cluster, jobset)):
        question = f"{owner} submitted this run. To {verb} it, type its name"
        typed = click.prompt(question, default="", show_default=False)
    ownership.require_own(cluster, jobset, typed or yes or "", verb)
    return typed == objects.name(jobset)


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

    origins = options.sources_of({"namespace": namespace})
    namespace = sources.merge(*origins)[0].get("namespace")
    if namespace:
        with options.located(origins):
            namespace = options.check("namespace", kubernetes_names.namespace, namespace)
    return Cluster(context, namespace, kubeconfig)


def again(context: str | None, kubeconfig: str | None, namespace: str | None) -> str:
    """Return these flags as text to append to the next command, each with a space before it."""
    flags = {"--context": context, "--kubeconfig": kubeconfig, "--namespace": namespace}
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in flags.items() if value)


def _flag(flag: str, metavar: str, text: str, short: str = "") -> click.Option:
    option: Any = click.Option([flag, short] if short else [flag], metavar=metavar, help=text)
    option.heading = "Cluster"
    return option
