"""Which JobSet and Kueue a cluster runs, as far as it tells: the versions of their images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster

# Deployments of the release manifests; `helm install` of JobSet's chart names it without the end.
DEPLOYMENTS = {
    "JobSet": ("jobset-controller-manager", "jobset-controller"),
    "Kueue": ("kueue-controller-manager",),
}
VERSION = re.compile(r":v?(\d+)\.(\d+)[^@]*")


def version(cluster: Cluster, name: str) -> tuple[str, tuple[int, int]] | None:
    """Tag and (major, minor) of a controller; None where no deployment of it is found or its tag is none.

    Raises Refused where deployments may not be listed.
    """
    for deployment in DEPLOYMENTS[name]:
        found, _ = cluster.list("Deployment", "", fieldSelector=f"metadata.name={deployment}")
        for entry in found:
            for container in entry["spec"]["template"]["spec"]["containers"]:
                if match := VERSION.search(container["image"]):
                    return match[0][1:], (int(match[1]), int(match[2]))
    return None
