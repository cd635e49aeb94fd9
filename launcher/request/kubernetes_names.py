"""Readers of names whose form Kubernetes, Cloud Storage and image registries define."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launcher.request.readers import HIDDEN, Reader, Wrong, text

# Patterns as text: each is compiled when it is first needed, and most never are.
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
QUALIFIED = r"(?:(?P<domain>[^/]{1,253})/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
SECRET_KEY = r"[-._a-zA-Z0-9]{1,253}"
VERSION = r"v?([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]{1,3})?"
# The grammar of image references: github.com/distribution/reference, whose registries have a dot or a port.
_HOST = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_REGISTRY = rf"(?:{_HOST}(?:\.{_HOST})+(?::[0-9]+)?|{_HOST}:[0-9]+|localhost|\[[a-fA-F0-9:]+\](?::[0-9]+)?)"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})"
IMAGE = rf"(?:{_REGISTRY}/)?{_PATH}(?:/{_PATH})*(?::[a-zA-Z0-9_][-a-zA-Z0-9_.]{{0,127}})?(?:@{_DIGEST})?"
TOLERATION = r"(?P<key>[^=:]+)(=(?P<value>[^:]*))?(:(?P<effect>NoSchedule|NoExecute|PreferNoSchedule))?"


def matching(pattern: str, must: str, longest: int = 253) -> Reader:
    """Return a reader of text that matches a pattern; `must` begins the message for other text."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest or not re.fullmatch(pattern, value):
            raise Wrong(must, value)
        return value

    return read


# RFC 1035: the name of the JobSet is also that of its headless service.
run = matching(
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    "must be at most 63 lower-case letters, digits and '-', starting with a letter",
    63,
)
namespace = matching(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "must be at most 63 lower-case letters, digits and '-'", 63
)
subdomain = matching(SUBDOMAIN, "must be lower-case letters, digits, '-' and '.'")
# The name of an object that a label refers to: the value of a label is shorter than a name may be.
short = matching(SUBDOMAIN, "must be at most 63 lower-case letters, digits, '-' and '.'", 63)
label_value = matching(
    r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?",
    "must be at most 63 letters, digits, '-', '_' and '.'",
    63,
)
env = matching(r"[A-Za-z_][A-Za-z0-9_]*", "must be a name such as HF_HOME")
quantity = matching(
    r"[0-9]{1,15}(\.[0-9]{1,9})?(m|k|[MGTPE]|[KMGTPE]i)?", "must be a quantity such as 4, 500m or 16Gi"
)


UNITS = {"m": 1e-3, "k": 1e3} | {unit: 1000.0**n for n, unit in enumerate("MGTPE", 2)}
UNITS |= {f"{unit}i": 1024.0**n for n, unit in enumerate("KMGTPE", 1)}


def amount(quantity: str) -> float:
    """Return the number that a quantity stands for: `500m` -> 0.5, `16Gi` -> 17179869184.0."""
    digits = quantity.rstrip("mkKMGTPEi")
    return float(digits) * UNITS.get(quantity[len(digits) :], 1.0)


def image(value: Any) -> str:
    """Read the reference of a container image: [REGISTRY/]NAME[:TAG][@DIGEST]."""
    if isinstance(value, str) and len(value) <= 512 and re.fullmatch(IMAGE, value):
        return value
    hint = ""
    if isinstance(value, str):
        closest = re.sub(r"^[a-z]+://", "", value).rstrip("/")
        path, colon, tag = closest.rpartition(":")
        closest = path.lower() + colon + tag if colon and "/" not in tag else closest.lower()
        hint = f"--image {closest}" if len(closest) <= 512 and re.fullmatch(IMAGE, closest) else ""
    raise Wrong("must be an image such as REGISTRY/resnet-launch:TAG", value, hint)


def key(value: Any) -> str:
    """Read the key of a label or annotation: NAME or DOMAIN/NAME."""
    match = re.fullmatch(QUALIFIED, value) if isinstance(value, str) else None
    if match is None or (match["domain"] and not re.fullmatch(SUBDOMAIN, match["domain"])):
        raise Wrong("must be a key such as team or example.com/team", value)
    return str(value)


def require_known_store(value: Any) -> None:
    """Raise Wrong for an address in a store other than Cloud Storage, such as s3://BUCKET/NAME.

    The lease of a run directory is a write on condition of an object's generation, the way Cloud Storage has
    it, and readers of data list objects by its API.
    """
    match = re.match(r"([a-z0-9+]{1,20})://", value, re.IGNORECASE) if isinstance(value, str) else None
    if match and match[1].lower() not in ("gs", "file"):
        scheme = match[1].lower()
        must = f"must be gs://… or a mounted directory: the trainer reads and locks no {scheme}:// bucket"
        raise Wrong(
            must, value, "mount it by its CSI driver, as in --mount pvc/CLAIM:/store, and name a path below"
        )


def bucket(value: Any) -> str:
    """Read a bucket: `gs://BUCKET/PREFIX`, `BUCKET/PREFIX` or `BUCKET` -> `gs://BUCKET[/PREFIX]`."""
    require_known_store(value)
    path = text(value).removeprefix("gs://").rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/\s]+)*", path) or ".." in path:
        raise Wrong("must be a Cloud Storage bucket such as my-bucket or gs://my-bucket/runs", value)
    return f"gs://{path}"


def directory(value: Any) -> str:
    """Read `gs://BUCKET/…` or an absolute path; a relative path has no meaning in a pod."""
    require_known_store(value)
    path = text(value).rstrip("/") or "/"
    if path.startswith("gs://"):
        return bucket(path)
    if not path.startswith("/") or ".." in path.split("/"):
        raise Wrong("must be gs://BUCKET/… or an absolute path", value)
    return path


def secret(value: Any) -> tuple[str, str]:
    """Read `SECRET/KEY` -> (secret, key): a request names a secret and never holds its value."""
    if isinstance(value, tuple):
        value = "/".join(map(str, value))
    name, slash, entry = value.partition("/") if isinstance(value, str) else ("", "", "")
    if (
        not slash
        or len(name) > 253
        or not re.fullmatch(SUBDOMAIN, name)
        or not re.fullmatch(SECRET_KEY, entry)
    ):
        # The value may be the secret itself, so the message does not show it.
        raise Wrong("must be SECRET/KEY, a key of a Secret in the namespace", HIDDEN)
    return name, entry


def toleration(value: Any) -> dict[str, str]:
    """Read `KEY[=VALUE][:EFFECT]` -> a toleration; without VALUE it tolerates every value."""
    if isinstance(value, Mapping):
        effect, matched = value.get("effect"), value.get("value")
        value = f"{value.get('key')}" + (f"={matched}" if matched else "") + (f":{effect}" if effect else "")
    match = re.fullmatch(TOLERATION, value) if isinstance(value, str) else None
    if match is None:
        raise Wrong("must be KEY[=VALUE][:EFFECT], as in dedicated=training:NoSchedule", value)
    entry = {"key": key(match["key"])}
    if match["value"] is None:
        entry["operator"] = "Exists"
    else:
        entry |= {"operator": "Equal", "value": label_value(match["value"])}
    return entry | ({"effect": match["effect"]} if match["effect"] else {})


def version(value: Any) -> tuple[int, int]:
    """Read a version: `0.11.0` or `v0.11` -> (0, 11)."""
    if isinstance(value, tuple):
        value = ".".join(map(str, value))
    match = re.fullmatch(VERSION, value) if isinstance(value, str) else None
    if match is None:  # a YAML number would turn 0.10 into 0.1
        raise Wrong("must be a version in quotes such as '0.11'", value)
    return int(match[1]), int(match[2])
