"""`image build` with a real registry, a real package index, and a node that pulls and runs the image."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import image_builds
import pytest
import registries
from image_builds import Stages, built, manifest, request
from testcluster import Cluster, buildah, image, requirements
from testcluster.objects import eventually, finished, jobset, log, pods

from launcher.image import age, build

pytestmark = pytest.mark.skipif(bool(requirements.missing()), reason=requirements.missing())
PROGRAM = "import click, json, os, sys, trainer.errors as e; " + (
    "print(json.dumps([os.getuid(), e.__spec__.cached, click.__file__, sys.path, os.getcwd()]))"
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry]:
    """A registry that holds the stand-in for python:3.13-slim."""
    requirements.install()
    with registries.running(tmp_path_factory.mktemp("registry"), on_disk=True) as started:
        name = f"docker://{started.host}/library/python:3.13-slim"
        buildah.run("push", "--tls-verify=false", image.base(), name)
        yield started


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches") / "image"


@pytest.fixture(scope="module")
def base(registry: registries.Registry) -> str:
    return f"{registry.host}/library/python:3.13-slim"


@pytest.fixture(scope="module")
def first(registry: registries.Registry, base: str, cache: Path) -> build.Built:
    return built(request(f"{registry.host}/team/small:1", base), cache)


def test_layers_of_the_base_are_mounted_and_ours_uploaded(first: build.Built, base: str) -> None:
    assert first.sent
    below, whole = manifest(base), manifest(first.name)
    assert first.sent.uploaded == ("packages", "code")
    assert first.sent.mounted == len(below["layers"])
    own = sum(layer["size"] for layer in whole["layers"][-2:])
    assert own < first.sent.uploaded_bytes < own + 20_000  # with configuration and manifest
    digests = [layer["digest"] for layer in whole["layers"]]
    assert digests[:-2] == [layer["digest"] for layer in below["layers"]]


def test_the_same_input_gives_the_same_image(
    first: build.Built, registry: registries.Registry, base: str, tmp_path: Path
) -> None:
    """Also without the cache, as on another machine."""
    again = built(request(f"{registry.host}/other/small:2", base), tmp_path / "another")
    assert again.digest == first.digest


def test_only_changed_code_is_uploaded(
    first: build.Built, registry: registries.Registry, base: str, cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "own_train.py").write_text("print('own')\n")
    changed = built(request(f"{registry.host}/team/small:3", base, add=own), cache)
    assert changed.sent
    assert changed.sent.uploaded == ("code",)
    assert changed.sent.uploaded_bytes < 3_000_000
    assert manifest(changed.name)["layers"][:-1] == manifest(first.name)["layers"][:-1]
    unchanged = built(request(f"{registry.host}/team/small:4", base, add=own), cache)
    assert unchanged.sent
    assert unchanged.sent.uploaded == ()
    assert unchanged.digest == changed.digest


def test_a_base_of_another_registry_is_copied(
    first: build.Built, base: str, cache: Path, tmp_path: Path
) -> None:
    with registries.running(tmp_path, on_disk=True) as elsewhere:
        copied = built(request(f"{elsewhere.host}/team/small:1", base), cache)
        assert copied.sent
        assert copied.sent.mounted == 0
        assert copied.sent.uploaded.count("base") == len(manifest(base)["layers"])
        assert copied.digest == first.digest
        assert manifest(copied.name) == manifest(first.name)


def test_a_damaged_layer_of_the_cache_is_made_again(
    first: build.Built, registry: registries.Registry, base: str, cache: Path, tmp_path: Path
) -> None:
    [digest] = [layer["digest"] for layer in manifest(first.name)["layers"][-1:]]
    blob = cache / "blobs" / digest.replace(":", "-")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    stages = Stages()
    output = tmp_path / "small.tar"
    repaired = built(request(f"{registry.host}/team/small:5", base, output=output), cache, stages)
    assert repaired.digest == first.digest
    assert "a layer of the cache is damaged and is made again" in stages.texts
    with tarfile.open(output) as archive:
        assert f"blobs/{digest.replace(':', '/')}" in archive.getnames()


def test_a_node_pulls_it_and_a_pod_runs_from_it(
    cluster: Cluster, first: build.Built, registry: registries.Registry
) -> None:
    node = cluster.node
    assert node
    with registries.relayed(registry, node.plane.wire.host) as seen:
        name = f"{seen}/team/small:1"
        node.ctr("images", "pull", "--plain-http", name)
    run = f"built-{os.getpid()}"
    work = jobset("default", run, count=1, image=name, command=["python", "-c", PROGRAM])
    cluster.api.apply([work])
    assert eventually(lambda: finished(cluster.api, work) != "", 90)
    [pod] = [p["metadata"]["name"] for p in pods(cluster.api, "default") if run in p["metadata"]["name"]]
    user, cached, click, path, folder = json.loads(log(cluster.api, "default", pod).splitlines()[-1])
    cluster.api.delete(work)
    assert user == 1000
    assert cached.startswith("/opt/app/trainer/")
    assert click.startswith("/opt/venv/lib/python3.13/site-packages/")
    assert "/opt/app" in path
    assert folder == "/opt/app"


def test_what_a_container_of_it_sees_is_what_the_dockerfile_sets(
    cpu_image: image.Image, first: build.Built, registry: registries.Registry
) -> None:
    ours = f"{registry.host}/team/small:1"
    buildah.run("pull", "--tls-verify=false", ours)
    built_here, dockers = image.configuration(ours), image.configuration(cpu_image.name)
    buildah.run("rmi", "--force", ours)
    for key in ("User", "WorkingDir", "Cmd", "Entrypoint"):
        assert built_here.get(key) == dockers.get(key), key
    environment, expected = built_here["Env"], dockers["Env"]
    assert isinstance(environment, list)
    assert isinstance(expected, list)
    assert sorted(environment) == sorted(expected)


def test_an_archive_is_imported_by_containerd_and_buildah(
    cluster: Cluster, first: build.Built, base: str, cache: Path
) -> None:
    archive = cache.parent / "small.tar"
    target = image_builds.Small(kind="cpu")
    local = built(build.Request(target=target, base=base, output=archive), cache)
    assert (local.sent, local.digest) == (None, first.digest)
    assert local.archive_bytes == archive.stat().st_size
    node = cluster.node
    assert node
    node.ctr("images", "import", str(archive))
    assert target.default_name in node.images()
    buildah.run("pull", f"oci-archive:{archive}")
    node.ctr("images", "remove", target.default_name)


def test_its_age_is_read_from_the_registry(
    first: build.Built, registry: registries.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert age.warning(first.name, "amd64") == ""
    monkeypatch.setattr(age, "__version__", "9.0.0")
    text = age.warning(first.name, "amd64")
    assert text.startswith(f"image {first.name} is older than this launcher: 0.1.0, not 9.0.0; ")
    monkeypatch.undo()
    other = (*age.code.trainer()[1:], age.code.Member(path="trainer/new.py"))
    monkeypatch.setattr(age.code, "trainer", lambda: other)
    assert "holds another trainer than the one beside this launcher" in age.warning(first.name, "amd64")
    assert age.warning(registry.push("team/plain", "1", "amd64"), "amd64") == ""
    assert age.warning(f"{registry.host}/team/none:1", "amd64") == ""
