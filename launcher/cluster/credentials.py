"""Credentials for a cluster: from the kubeconfig, its token file or its plugin, and from them once more."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from launcher.cluster.kubeconfig import connect
from launcher.cluster.replies import plain, printable
from launcher.errors import ActionError

HEADER = "authorization"


def login(context: str | None, kubeconfig: str | None) -> tuple[Any, str, str]:
    """Return (ApiClient, namespace, context) as `connect` does, with the credentials of the kubeconfig.

    The Kubernetes client logs why a plugin or provider failed and continues without credentials. Then the
    server would only say that it does not know `system:anonymous`.

    Raises:
      ActionError: the kubeconfig cannot be read, or its credentials cannot be had.
    """
    with _logged_errors() as causes:
        client, namespace, name, user = connect(context, kubeconfig)
    # The client would run the plugin again once the credentials have expired, and ignore a failure then too.
    client.configuration.refresh_api_key_hook = None
    client.impersonation = _impersonation(user)
    if not (client.configuration.api_key or client.configuration.cert_file):
        _refuse_nobody(user, causes)
    return client, namespace, name


def headers(client: Any) -> list[tuple[str, str]]:
    """Return the headers that say who asks, and as whom; a token file may end with a line break."""
    values = {str(s["key"]): str(s["value"]).strip() for s in client.configuration.auth_settings().values()}
    for value in values.values():
        if not value.isprintable() or not value.isascii():
            raise ActionError(
                "the token of the kubeconfig must be one line of ASCII characters, "
                f"got {len(value.splitlines())} lines of {len(value)} characters"
            )
    return [*values.items(), *client.impersonation]


def _impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a user entry that acts as somebody else, as kubectl does (`as`, `as-groups`, …).

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation

    Raises:
      ActionError: groups, uid or extra fields without a user.
    """
    extra, groups = user.get("as-user-extra") or {}, user.get("as-groups") or []
    if not isinstance(groups, list) or not isinstance(extra, dict):
        raise ActionError("as-groups of the kubeconfig must be a list, and as-user-extra a map of lists")
    if not all(isinstance(values, list) for values in extra.values()):
        raise ActionError("as-user-extra of the kubeconfig must be a map of lists")
    named = [("Impersonate-Uid", user.get("as-uid"))]
    named += [("Impersonate-Group", group) for group in groups]
    named += [
        (f"Impersonate-Extra-{quote(str(key).lower(), safe='')}", value)
        for key, values in extra.items()
        for value in values
    ]
    named = [(key, value) for key, value in named if value]
    if not user.get("as"):
        if named:
            raise ActionError("the kubeconfig must name a user (as) with as-uid, as-groups or as-user-extra")
        return []
    headers = [("Impersonate-User", user["as"]), *named]
    for key, value in headers:
        if not (isinstance(value, str) and value.isprintable() and value.isascii()):
            raise ActionError(f"{key} of the kubeconfig must be a line of ASCII text, got {value!r}")
    return headers


def _refuse_nobody(user: Mapping[str, Any], causes: list[str]) -> None:
    """Raise ActionError where the user of a context names a source of credentials and none came of it."""
    if isinstance(plugin := user.get("exec"), dict):
        command = printable(str(plugin.get("command")))
        cause = plain(causes[-1].removeprefix("exec: ")) if causes else "it gave no token and no certificate"
        raise ActionError(
            "the cluster does not know who you are: "
            f"the credential plugin {command} of the kubeconfig failed: {cause}",
            f"does {command} work by itself, and are you logged in?",
        )
    if isinstance(provider := user.get("auth-provider"), dict):
        name = printable(str(provider.get("name")))
        raise ActionError(
            "the cluster does not know who you are: "
            f"the auth provider {name!r} of the kubeconfig gave no credentials",
            "write the kubeconfig again with a plugin (exec), as kubectl 1.26 and newer need it: "
            "kubelogin convert-kubeconfig, or gcloud container clusters get-credentials",
        )
    if user.get("tokenFile"):
        raise ActionError(f"the token file {printable(str(user['tokenFile']))} of the kubeconfig is empty")


@contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Collect what is logged as an error instead of printing it."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collector(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger().removeHandler(handler)
