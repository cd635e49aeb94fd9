"""Objects of Kueue, read by the newest version of its API that the cluster serves."""

from __future__ import annotations

from launcher.cluster.api import JSON, OLDER, Cluster
from launcher.cluster.refusals import Refused


def objects(cluster: Cluster, kind: str, namespace: str | None = None) -> tuple[str, list[JSON]]:
    """Return (key in api.GROUPS of the version that is served, all objects of a kind).

    Args:
      kind: such as "LocalQueue".
      namespace: None is the default one, "" all of them.

    Raises Refused, with status 404 where the cluster has no Kueue.
    """
    try:
        return kind, cluster.list(kind, namespace)[0]
    except Refused as error:
        if not _is_unknown(error):
            raise
    return OLDER + kind, cluster.list(OLDER + kind, namespace)[0]


def get(cluster: Cluster, kind: str, name: str, namespace: str | None = None) -> JSON | None:
    """Return one object; None where there is none of this name.

    Raises Refused, with status 404 where the cluster has no Kueue.
    """
    try:
        return cluster.get(kind, name, namespace)
    except Refused as error:
        if not _is_unknown(error):
            raise
    return cluster.get(OLDER + kind, name, namespace)


def _is_unknown(error: Refused) -> bool:
    """Return whether the server does not serve the kind; "absent" would be about one object."""
    return error.status == 404 and not error.about
