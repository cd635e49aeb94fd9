"""What an API server refuses, in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launcher.errors import ActionError

JOBSET_HINT = (
    "install JobSet 0.11 or newer (its release's manifests.yaml), or ask the cluster's team; "
    "render --jobset-version renders for an older one"
)


class Refused(ActionError):
    """The API server said no; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


def refusal(status: int, body: Mapping[str, Any], doing: str) -> Refused:
    """The error for an answer of 400 and more.

    Args:
      body: the Status object of the API server.
      doing: the call, for what has no words of its own.
    """
    said = str(body.get("message") or body.get("reason") or f"status {status}")
    for pattern, message, hint in WORDS:
        if match := re.search(pattern, said, re.DOTALL):
            return Refused(status, message.format(*match.groups(), said=said), hint.format(*match.groups()))
    if status == 404 and "could not find the requested resource" in said:
        if "jobset" in doing:
            return Refused(status, "this cluster has no JobSet", JOBSET_HINT)
        return Refused(status, f"this cluster does not know {doing.rpartition('/')[2]}")
    if status == 401:
        return Refused(
            status, "the cluster does not know who you are", "log in again: your token has expired"
        )
    return Refused(status, said)


# (pattern of the server's message, our message, our hint); {0}… are the groups of the pattern.
WORDS = [
    (
        r'namespaces "([^"]+)" not found',
        "namespace: {0} does not exist",
        "kubectl create namespace {0}, or another --namespace",
    ),
    (
        r'User "([^"]+)" cannot (\w+) resource "([^"]+)".*in the namespace "([^"]+)"',
        "{0} may not {1} {2} in namespace {3}",
        "ask the cluster's team for a role that allows it, or use another --namespace",
    ),
    (
        r'violates PodSecurity "([^"]+)": (.*)',
        "namespace allows only pods of Pod Security {0}: {1}",
        "docs/launcher.md says which flags and fabrics need more; another --namespace may allow them",
    ),
    (
        r"exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)",
        "resource quota {0} has no room: requested {1}, used {2}, limited to {3}",
        "resnet-launch list shows what is running",
    ),
    (
        r'\.(spec[^ :]*): field not declared in schema|unknown field "([^"]+)"',
        "this cluster's JobSet is too old or too new: {said}",
        JOBSET_HINT,
    ),
    (
        r'admission webhook "([^"]+)" denied the request: (.*)',
        "refused by {0}: {1}",
        "",
    ),
    (
        r'failed calling webhook "([^"]+)"',
        "the cluster's webhook {0} does not answer, so nothing can be submitted",
        "the cluster's team should look at its controller: kubectl get pods -A",
    ),
]
