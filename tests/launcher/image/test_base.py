"""Any reply about a base image is read or refused with one line; one for other hosts is named."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from faulty_registry import FaultyRegistry, serving

from launcher.errors import LauncherError, RequestError, printable
from launcher.image import base
from launcher.image.base import Base
from launcher.image.cache import open_cache
from launcher.image.target import Target

D = "sha256:" + "d" * 64
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
LAYER = {"mediaType": DOCKER, "digest": D, "size": 5}
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [D]}, "config": {"Env": ["A=b"]}}


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def store(server: FaultyRegistry, config: Any, *layers: Any, tag: str = "1") -> str:
    """Store an image; return the digest of its manifest."""
    body = json.dumps(config).encode()
    server.blobs[digest(body)] = body
    described = {"digest": digest(body), "size": len(body)}
    manifest = json.dumps({"config": described, "layers": layers or (LAYER,)}).encode()
    server.manifests[tag] = server.manifests[digest(manifest)] = manifest
    return digest(manifest)


def read(server: FaultyRegistry, folder: Path, processor: str = "amd64", name: str = "team/base:1") -> Base:
    target = Target(kind="gpu", processor=processor)
    return base.read(f"{server.host}/{name}", target, open_cache(folder / "cache"))


def test_layers_keep_their_digests_and_get_the_names_of_oci(tmp_path: Path) -> None:
    with serving() as server:
        wanted = store(server, CONFIG)
        image_read = read(server, tmp_path)
    assert image_read.digest == wanted
    assert image_read.name == f"{server.host}/team/base:1"
    [layer] = image_read.layers
    assert (layer.digest, layer.size, layer.diff_id) == (D, 5, D)
    assert layer.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"


def test_an_index_is_read_for_the_processor(tmp_path: Path) -> None:
    with serving() as server:
        entries = []
        for name in ("amd64", "arm64"):
            own = store(server, CONFIG | {"architecture": name}, tag=name)
            entries.append({"digest": own, "platform": {"os": "linux", "architecture": name}})
        server.manifests["1"] = json.dumps({"mediaType": INDEX, "manifests": [None, 5, *entries]}).encode()
        assert read(server, tmp_path, "arm64").digest == entries[1]["digest"]
        assert read(server, tmp_path, "amd64").digest == entries[0]["digest"]
        server.manifests["1"] = json.dumps({"mediaType": INDEX, "manifests": entries[:1]}).encode()
        with pytest.raises(RequestError, match=r"must be an image for linux/arm64, got .* for linux/amd64"):
            read(server, tmp_path, "arm64")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CONFIG | {"architecture": "arm64"}, "must be an image for linux/amd64, got .* for linux/arm64"),
        (CONFIG | {"os": "windows"}, "must be an image for linux/amd64, got .* for windows/amd64"),
        (
            CONFIG | {"config": {"Env": ["PYTHON_VERSION=3.12.1"]}},
            "must have Python 3.13, got .* with 3.12.1",
        ),
        (CONFIG | {"config": {"Env": ["PYTHON_VERSION=3.130"]}}, "must have Python 3.13, got .* with 3.130"),
    ],
)
def test_a_base_for_other_hosts_is_wrong(tmp_path: Path, config: Any, message: str) -> None:
    with serving() as server:
        store(server, config)
        with pytest.raises(RequestError, match=message) as caught:
            read(server, tmp_path)
    assert caught.value.problems[0].hint


def test_a_base_that_does_not_exist(tmp_path: Path) -> None:
    with serving() as server, pytest.raises(LauncherError, match=r"has no team/none:2$"):
        read(server, tmp_path, name="team/none:2")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            LAYER | {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar"},
            "cannot be copied",
        ),
        (LAYER | {"mediaType": "text/plain"}, "cannot be copied"),
        (LAYER | {"digest": "sha256:../../x"}, "a layer without SHA-256 and size"),
        (LAYER | {"size": -1}, "a layer without SHA-256 and size"),
        (5, "a layer without SHA-256 and size"),
    ],
)
def test_a_layer_that_is_none(tmp_path: Path, layer: Any, message: str) -> None:
    with serving() as server:
        store(server, CONFIG, layer)
        with pytest.raises(LauncherError, match=message):
            read(server, tmp_path)


ODD = [
    None,
    True,
    7,
    -1,
    1e300,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
    [[]],
    {"platform": "linux"},
    "sha256:" + "/../" * 20,
]


def spoilt(numbers: random.Random, value: Any) -> Any:
    if numbers.random() < 0.03:
        return numbers.choice(ODD)
    if isinstance(value, dict):
        return {key: spoilt(numbers, item) for key, item in value.items() if numbers.random() < 0.98}
    return [spoilt(numbers, item) for item in value] if isinstance(value, list) else value


def test_any_reply_is_read_or_refused(tmp_path: Path) -> None:
    numbers, outcomes = random.Random(4), {"read": 0, "refused": 0}
    with serving() as server:
        for _ in range(300):
            server.blobs.clear()
            server.manifests.clear()
            own = store(server, spoilt(numbers, CONFIG), spoilt(numbers, LAYER), tag="a")
            if numbers.random() < 0.3:
                entry = {"digest": own, "platform": {"os": "linux", "architecture": "amd64"}}
                index = spoilt(numbers, {"mediaType": INDEX, "manifests": [entry]})
                server.manifests["1"] = json.dumps(index).encode()
            else:
                manifest = spoilt(numbers, json.loads(server.manifests["a"]))
                server.manifests["1"] = json.dumps(manifest).encode()
            try:
                image_read = read(server, tmp_path)
            except LauncherError as error:
                assert all(printable(text).isprintable() for text, _ in error.messages())  # noqa: PT017
                outcomes["refused"] += 1
                continue
            assert all(layer.digest == D for layer in image_read.layers)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 20
