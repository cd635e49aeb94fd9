"""The commands of `init` are those of the guide, and they are commands of the tools that they name."""

import subprocess
from pathlib import Path

import pytest

from launcher.check import installation
from launcher.check.installation import Site
from launcher.hardware import slices

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "install-gke.md").read_text()


def site(slice_name: str = "v4-32") -> Site:
    return Site(
        namespace="vision",
        bucket="gs://BUCKET/runs",
        queue="resnet",
        image="REGISTRY/resnet-launch:0.1.0-tpu",
        shape=slices.parse(slice_name),
    )


COMMANDS = [
    *installation.cluster(site()),
    *(command for name in ("v4-32", "v5e-16", "h100-16") for command in installation.node_pool(site(name))),
    *installation.jobset(),
    *installation.kueue(),
    *installation.bucket(site()),
    *installation.rights(site()),
    *installation.image(site()),
    *installation.namespace(site()),
    *installation.platform(site(), bound=True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[command[:60] for command in COMMANDS])
def test_the_guide_has_the_same_command(command: str) -> None:
    assert command in GUIDE
    assert subprocess.run(["bash", "-n"], input=command, text=True).returncode == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "v5e-8-1",
            "create v5e-8-1 --cluster train --location ZONE \\\n"
            "  --machine-type ct5lp-hightpu-8t --num-nodes 1",
        ),
        ("v4:2x2x4", "--machine-type ct4p-hightpu-4t --tpu-topology 2x2x4 --num-nodes 4"),
        (
            "l4-2",
            "create l4 --cluster train --location ZONE \\\n  --machine-type g2-standard-24 --num-nodes 1",
        ),
        ("tpu7x-64", "--num-nodes 8 --placement-policy POLICY"),
    ],
)
def test_node_pools(name: str, expected: str) -> None:
    [command] = installation.node_pool(site(name))
    assert expected in command


def test_the_image_is_for_the_processor_of_the_hosts() -> None:
    [command] = installation.image(site("gb200-72"))
    assert command == "resnet-launch image build --target gpu --processor arm64 --push REGISTRY/resnet-launch"


def test_cpu_hosts_need_no_pool_of_their_own() -> None:
    assert installation.node_pool(site("cpu-2x1")) == []
    [command] = installation.platform(site("cpu-2x1"), bound=False)
    assert "kueue.flavors.cpu=2" in command
    assert "google" not in command


def test_pods_with_a_fast_network_need_a_privileged_namespace() -> None:
    assert installation.namespace(site("h100-16"))[1].endswith("enforce=privileged")


def test_a_context_of_gcloud_names_project_location_and_cluster() -> None:
    names = {"project": "my-project", "location": "us-central2-b", "cluster": "train"}
    assert installation.of_context("gke_my-project_us-central2-b_train") == names
    for other in ("kind-kind", "gke_a_b", "gke__b_c", ""):
        assert installation.of_context(other) == {}
