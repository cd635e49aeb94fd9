"""The Secret that holds the URL to which a run sends its messages."""

from __future__ import annotations

from typing import Any

from launcher.request import kubernetes_names
from launcher.request.readers import Wrong

# The URL lets everyone write who knows it: it is read from a file, and stands in no list of processes.
HINT = "kubectl create secret generic notify --from-file=url=FILE, then --notify notify/url"


def read(value: Any) -> tuple[str, str]:
    """Read `SECRET/KEY` -> (secret, key); a URL is refused and not shown."""
    try:
        return kubernetes_names.secret(value)
    except Wrong as wrong:
        raise Wrong(
            "must be SECRET/KEY, the key of a Secret that holds the URL", kubernetes_names.HIDDEN, HINT
        ) from wrong
