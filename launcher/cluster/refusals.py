"""Refusals of the API server as sentences, with hints about what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launcher.errors import ActionError

PATH = re.compile(r"/apis/(?P<group>[^/]+)/[^/]+/(namespaces/[^/]+/)?(?P<plural>[^/?]+)")
INSTALL_HINTS = {  # plural of a kind -> how to install it
    "jobsets": "install JobSet 0.12 or newer (kubectl apply --server-side -f its release's manifests.yaml), "
    "or ask the cluster's team",
    "resourceclaimtemplates": "--fabric auto, or GKE 1.34 or newer with DRANET",
    "computedomains": "install NVIDIA's DRA driver for GPUs, or ask the cluster's team",
}


class Refused(ActionError):
    """The API server refused a request.

    Attributes:
      status: HTTP status.
      about: subject of the refusal, such as "permission", "quota" or "absent"; empty for one without a name.
    """

    def __init__(self, status: int, message: str, hint: str = "", about: str = "") -> None:
        super().__init__(message, hint)
        self.status, self.about = status, about


def refusal(status: int, body: Mapping[str, Any], request: str) -> Refused:
    """Return the error for a reply with a status of 400 or more.

    Args:
      body: the Status object of the API server.
      request: method and path, for refusals whose message does not name a resource.
    """
    text = str(body.get("message") or body.get("reason") or f"status {status}")
    for about, pattern, message, hint in KNOWN:
        if match := re.search(pattern, text, re.DOTALL):
            groups = match.groups()
            hint = hint.format(*groups, flags=quota_flags(text))
            return Refused(status, message.format(*groups, text=text), hint, about)
    if status == 404 and re.search("could not find the requested resource|page not found", text):
        match = PATH.search(request)
        if match is None:
            path = request.partition(" ")[2] or request
            return Refused(
                status, f"no API server answers at {path}: {text}", "is its URL in the kubeconfig right?"
            )
        kind, hint = f"{match['plural']}.{match['group']}", INSTALL_HINTS.get(match["plural"], "")
        return Refused(status, f"this cluster has no {kind}", hint)
    if status == 401:
        hint = "log in again: the token may have expired"
        return Refused(status, "the cluster does not know who you are", hint, "login")
    if status == 404 and body.get("reason") == "NotFound":
        return Refused(status, text, about="absent")
    return Refused(status, text)


FLAGS_OF_AMOUNTS = {  # resource that a quota may demand -> flags that set it
    "limits.cpu": "--cpu-limit 4",
    "limits.memory": "--memory 16Gi",
    "limits.ephemeral-storage": "--ephemeral-storage 10Gi",
    "requests.cpu": "--cpu 4",
    "requests.memory": "--memory 16Gi",
    "requests.ephemeral-storage": "--ephemeral-storage 10Gi",
    "cpu": "--cpu 4",
    "memory": "--memory 16Gi",
    "ephemeral-storage": "--ephemeral-storage 10Gi",
}


def quota_flags(message: str) -> str:
    """Return flags that set what a quota demands, such as `must specify limits.cpu for: trainer`."""
    demanded = message.partition("must specify ")[2]
    names = re.findall(r"(?:limits\.|requests\.)?(?:cpu|memory|ephemeral-storage)\b", demanded)
    return " ".join(dict.fromkeys(FLAGS_OF_AMOUNTS[name] for name in names)) or "--patch FILE"


# (about, pattern of the server's message, our message, our hint). {0}, {1}, … are the groups of the pattern,
# {text} is the server's message, {flags} what sets the amounts that it demands.
KNOWN = [
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
        "the namespace allows only pods of Pod Security level {0}: {1}",
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
        "the cluster does not know a field: {text}",
        "--jobset-version VERSION renders for an older JobSet; or is it a field of your --patch?",
    ),
    (
        "webhook",
        r'admission webhook "([^"]+)" denied the request:\s*(.*?)\s*$',
        "refused by {0}: {1}",
        "",
    ),
    (
        "policy",
        r"ValidatingAdmissionPolicy '([^']+)'(?: with binding '[^']+')? denied request: (.*)",
        "refused by the policy {0}: {1}",
        "",
    ),
    (
        "policy",
        r"image policy webhook backend denied (.*)",
        "the cluster's image policy refused {0}",
        "another --image, of a registry that the policy allows",
    ),
    (
        "quota",
        r"failed quota: ([^:]+): must specify (.*)",
        "resource quota {0} demands values that the run does not have: {1}",
        "set them, as in {flags}",
    ),
    (
        "limit range",
        r"is forbidden: \[?((?:maximum|minimum) \w+ usage per .*?)\]?$",
        "a LimitRange of the namespace does not allow the pod: {0}",
        "--cpu and --memory set requests, --cpu-limit and --memory-limit limits",
    ),
    (
        "terminating",
        r"unable to create new content in namespace (\S+) because it is being terminated",
        "namespace: {0} is being deleted",
        "another --namespace",
    ),
    (
        "webhook",
        r'failed calling webhook "([^"]+)": (?:failed to call webhook: )?(.*)',
        "the cluster's webhook {0} cannot be called, so nothing can be submitted: {1}",
        "ask the cluster's team to look at its controller: kubectl get pods -A",
    ),
]
