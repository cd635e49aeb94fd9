"""What each container of a run may not do."""

from __future__ import annotations

from typing import Any


def fields() -> dict[str, Any]:
    """Return the fields of a container without privileges, whose last lines of log are its reason to end."""
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
