"""The versions of JobSet and Kueue on a cluster, read from the image tags of their deployments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster

# Names of the deployments in the release manifests; JobSet's chart uses the shorter one.
DEPLOYMENTS = {
    "JobSet": ("jobset-controller-manager", "jobset-controller"),
    "Kueue": ("kueue-controller-manager",),
}
VERSION = re.compile(r":v?(\d+)\.(\d+)[^@]*")


def version(cluster: Cluster, name: str) -> tuple[str, tuple[int, int]] | None:
    """Return (tag, (major, minor)) of a controller; None without its deployment or a version in the tag.

    Raises Refused where deployments may not be listed.
    """
    for deployment_name in DEPLOYMENTS[name]:
        deployments, _ = cluster.list("Deployment", "", fieldSelector=f"metadata.name={deployment_name}")
        for entry in deployments:
            for container in entry["spec"]["template"]["spec"]["containers"]:
                if match := VERSION.search(container["image"]):
                    return match[0][1:], (int(match[1]), int(match[2]))
    return None
