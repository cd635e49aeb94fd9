"""The mounts of a pod: `--mount SOURCE:PATH[:ro]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from launcher.request.readers import Wrong

SCRATCH = "/scratch"  # an emptyDir for runs that are not kept
FORM = "pvc/NAME, gcs/BUCKET, host/DIR or ssd, then :PATH and optionally :ro"
SOURCE = r"(?P<kind>pvc|gcs|host|ssd)(/(?P<name>[^:\s]*))?:(?P<path>/[^:\s]*)(?P<ro>:ro)?"
NAMES = {  # kind -> pattern of what may follow the slash
    "pvc": r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?",
    "gcs": r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
    "host": r"[^\x00-\x20:]+",
    "ssd": r"",
}
TAKEN = ("/", "/tmp", "/dev", "/dev/shm", "/proc", "/sys", SCRATCH)


@dataclass(frozen=True)
class Mount:
    """A directory that is mounted into the pod.

    kind: pvc, gcs (Cloud Storage FUSE), host (a directory of the node) or ssd (the node's local SSD).
    """

    kind: str
    name: str
    path: str
    read_only: bool

    def volume(self, name: str) -> dict[str, Any]:
        """Return the volume of the pod, named `name` within the pod."""
        if self.kind == "pvc":
            claim: dict[str, Any] = {"claimName": self.name} | ({"readOnly": True} if self.read_only else {})
            return {"name": name, "persistentVolumeClaim": claim}
        if self.kind == "gcs":
            attributes = {"bucketName": self.name, "mountOptions": "implicit-dirs"}
            csi: dict[str, Any] = {"driver": "gcsfuse.csi.storage.gke.io"}
            csi |= {"readOnly": True} if self.read_only else {}
            return {"name": name, "csi": csi | {"volumeAttributes": attributes}}
        if self.kind == "host":
            return {"name": name, "hostPath": {"path": f"/{self.name}", "type": "Directory"}}
        return {"name": name, "emptyDir": {}}

    def mount(self, name: str) -> dict[str, Any]:
        """Return the container's mount of the volume `name`."""
        return {"name": name, "mountPath": self.path} | ({"readOnly": True} if self.read_only else {})

    def holds(self, directory: str, *, to_read: bool = False) -> bool:
        """Whether a directory lies under this mount and can be written or, with `to_read`, read."""
        return (to_read or not self.read_only) and (directory + "/").startswith(self.path.rstrip("/") + "/")


def mount(value: Any) -> Mount:
    """Read `SOURCE:PATH[:ro]`, for example `pvc/imagenet:/data:ro`."""
    if isinstance(value, Mount):
        return value
    match = re.fullmatch(SOURCE, value) if isinstance(value, str) else None
    if match is None or not re.fullmatch(NAMES[match["kind"]], (match["name"] or "").lstrip("/")):
        raise Wrong(f"must be {FORM}", value, "as in --mount pvc/imagenet:/data:ro")
    path, name = match["path"].rstrip("/") or "/", (match["name"] or "").strip("/")
    if path in TAKEN or ".." in [*path.split("/"), *name.split("/")]:
        raise Wrong(f"must mount a directory of its own, not {', '.join(TAKEN)}", value)
    return Mount(match["kind"], name, path, match["ro"] is not None)
