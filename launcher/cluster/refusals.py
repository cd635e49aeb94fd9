"""What an API server refuses, in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launcher.errors import ActionError

PATH = re.compile(r"/apis/(?P<group>[^/]+)/[^/]+/(namespaces/[^/]+/)?(?P<plural>[^/?]+)")
HOMES = {  # what has to be installed for a kind
    "jobsets": "install JobSet 0.11 or newer (kubectl apply --server-side -f its release's manifests.yaml), "
    "or ask the cluster's team",
    "computedomains": "install NVIDIA's DRA driver for GPUs, or ask the cluster's team",
}


class Refused(ActionError):
    """The API server said no.

    Attributes:
      status: of HTTP.
      about: "permission", "quota" and so on where the reason is one of WORDS, else empty.
    """

    def __init__(self, status: int, message: str, hint: str = "", about: str = "") -> None:
        super().__init__(message, hint)
        self.status, self.about = status, about


def refusal(status: int, body: Mapping[str, Any], doing: str) -> Refused:
    """The error for an answer of 400 and more.

    Args:
      body: the Status object of the API server.
      doing: the call, for what has no words of its own.
    """
    said = str(body.get("message") or body.get("reason") or f"status {status}")
    for about, pattern, message, hint in WORDS:
        if match := re.search(pattern, said, re.DOTALL):
            words = match.groups()
            return Refused(status, message.format(*words, said=said), hint.format(*words), about)
    if status == 404 and re.search("could not find the requested resource|page not found", said):
        found = PATH.search(doing)
        what = f"{found['plural']}.{found['group']}" if found else doing
        return Refused(status, f"this cluster has no {what}", HOMES.get(found["plural"], "") if found else "")
    if status == 401:
        return Refused(
            status, "the cluster does not know who you are", "log in again: the token may have expired"
        )
    return Refused(status, said)


# (about, pattern of the server's message, our message, our hint); {0}… are the groups of the pattern.
WORDS = [
    (
        "namespace",
        r'namespaces "([^"]+)" not found',
        "namespace: {0} does not exist",
        "kubectl create namespace {0}, or another --namespace",
    ),
    (
        "login",
        r'User "system:anonymous" cannot',
        "the cluster does not know who you are",
        "log in again: the kubeconfig gave no credentials",
    ),
    (
        "permission",
        r'User "([^"]+)" cannot (\w+) resource "([^"]+)".* (in the namespace "[^"]+"|at the cluster scope)',
        "{0} may not {1} {2} {3}",
        "ask the cluster's team for a role that allows it, or use another --namespace",
    ),
    (
        "pod security",
        r'violates PodSecurity "([^"]+)": (.*)',
        "namespace allows only pods of Pod Security {0}: {1}",
        "docs/explanations/security.md lists the flags and fabrics that need more; "
        "another --namespace may allow them",
    ),
    (
        "quota",
        r"exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)",
        "resource quota {0} has no room: requested {1}, used {2}, limited to {3}",
        "resnet-launch list shows what is running",
    ),
    (
        "service account",
        r'serviceaccount "([^"]+)" not found',
        "service-account: {0} does not exist in the namespace",
        "kubectl create serviceaccount {0}, or another --service-account",
    ),
    (
        "schema",
        r'\.(spec[^ :]*): field not declared in schema|unknown field "([^"]+)"',
        "the cluster does not know a field: {said}",
        "--jobset-version VERSION renders for an older JobSet; is it a field of --patch?",
    ),
    (
        "webhook",
        r'admission webhook "([^"]+)" denied the request: (.*)',
        "refused by {0}: {1}",
        "",
    ),
    (
        "webhook",
        r'failed calling webhook "([^"]+)"',
        "the cluster's webhook {0} does not answer, so nothing can be submitted",
        "the cluster's team should look at its controller: kubectl get pods -A",
    ),
]
