"""What each GPU network needs in a pod, and that no other pod gets it."""

import json

import pytest

from launcher import TrainingJob, render


def pod(name, **fields):
    *objects, jobset = render(TrainingJob(slice=name, arch="resnet50", bucket="b-1", **fields))
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    return template["metadata"].get("annotations", {}), template["spec"], objects


def interfaces(annotations):
    entries = json.loads(annotations["networking.gke.io/interfaces"])
    return {entry["interfaceName"]: entry["network"] for entry in entries}


def env(spec):
    return {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}


def host_paths(spec):
    return {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}


def test_tcpx():
    annotations, spec, _ = pod("h100-16")
    assert interfaces(annotations) == {
        "eth0": "default",
        "eth1": "vpc1",
        "eth2": "vpc2",
        "eth3": "vpc3",
        "eth4": "vpc4",
    }
    devices = annotations["devices.gke.io/container.tcpx-daemon"].split()
    assert devices[2::3] == [f"/dev/nvidia{i}" for i in range(8)] + ["/dev/nvidiactl", "/dev/nvidia-uvm"]
    [daemon] = spec["initContainers"]
    assert daemon["restartPolicy"] == "Always"
    assert daemon["image"] == "us-docker.pkg.dev/gce-ai-infra/gpudirect-tcpx/tcpgpudmarxd-dev:v2.0.11"
    assert daemon["securityContext"]["capabilities"] == {"add": ["NET_ADMIN"]}
    assert host_paths(spec) == {
        "nvidia": "/home/kubernetes/bin/nvidia/lib64",
        "sys": "/sys",
        "proc-sys": "/proc/sys",
    }
    assert {"name": "tcpx-socket", "emptyDir": {}} in spec["volumes"]
    assert env(spec)["NCCL_GPUDIRECTTCPX_SOCKET_IFNAME"] == "eth1,eth2,eth3,eth4"
    assert env(spec)["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64:/usr/local/tcpx/lib64"
    assert spec["containers"][0]["command"][0] == "python"


def test_tcpxo():
    annotations, spec, _ = pod("h100-mega-16")
    assert interfaces(annotations) == {"eth0": "default"} | {f"eth{i}": f"vpc{i}" for i in range(1, 9)}
    assert "/dev/dmabuf_import_helper" in annotations["devices.gke.io/container.tcpxo-daemon"]
    [daemon] = spec["initContainers"]
    assert daemon["image"].endswith("gpudirect-tcpxo/tcpgpudmarxd-dev:v1.0.12")
    assert daemon["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_BIND_SERVICE"]
    assert env(spec)["NCCL_FASTRAK_LLCM_DEVICE_DIRECTORY"] == "/dev/aperture_devices"
    command = spec["containers"][0]["command"]
    assert command[:4] == [
        "bash",
        "-c",
        'source /usr/local/nvidia/lib64/nccl-env-profile.sh && exec "$@"',
        "--",
    ]
    assert command[4:7] == ["python", "-m", "trainer"]


@pytest.mark.parametrize(("name", "cards"), [("h200-16", 8), ("b200-16", 8), ("gb200-8", 4)])
def test_rdma(name, cards):
    annotations, spec, _ = pod(name)
    expected = {"eth0": "default", "eth1": "gvnic-1"} | {f"eth{2 + i}": f"rdma-{i}" for i in range(cards)}
    assert interfaces(annotations) == expected
    assert "initContainers" not in spec
    assert host_paths(spec) == {"nvidia": "/home/kubernetes/bin/nvidia", "gib": "/home/kubernetes/bin/gib"}
    assert spec["containers"][0]["command"][2].startswith("source /usr/local/gib/scripts/set_nccl_env.sh")
    assert "runAsUser" not in spec["containers"][0]["securityContext"]


def test_gb200_is_one_nvlink_domain_of_arm64_hosts():
    _, spec, [domain] = pod("gb200-72", namespace="team")
    assert domain == {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "ComputeDomain",
        "metadata": {
            "name": "resnet50-gb200-72",
            "namespace": "team",
            "labels": {
                "app.kubernetes.io/name": "resnet-launch",
                "app.kubernetes.io/instance": "resnet50-gb200-72",
                "app.kubernetes.io/managed-by": "resnet-launch",
            },
        },
        "spec": {
            "numNodes": 18,
            "channel": {"resourceClaimTemplate": {"name": "resnet50-gb200-72-channel"}},
        },
    }
    assert spec["resourceClaims"] == [
        {"name": "compute-domain-channel", "resourceClaimTemplateName": "resnet50-gb200-72-channel"}
    ]
    assert spec["containers"][0]["resources"]["claims"] == [{"name": "compute-domain-channel"}]
    assert {
        "key": "kubernetes.io/arch",
        "operator": "Equal",
        "value": "arm64",
        "effect": "NoSchedule",
    } in spec["tolerations"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("h100-8", {}),  # one host has nothing to join
        ("h100-4", {"num_slices": 2}),  # a part of a host has no network cards
        ("a100-16", {}),
        ("h100-16", {"fabric": False}),
        ("h100-16", {"platform": "generic"}),
        ("v4-32", {}),
    ],
)
def test_other_pods_get_no_fabric(name, fields):
    annotations, spec, objects = pod(name, **fields)
    assert annotations == {}
    assert host_paths(spec) == {}
    assert "initContainers" not in spec
    assert objects == []


def test_two_slices_of_one_host_are_joined_too():
    annotations, _, _ = pod("h200-8", num_slices=2)
    assert "networking.gke.io/interfaces" in annotations


def test_the_request_wins_over_the_fabric():
    annotations, spec, _ = pod(
        "h100-16", env={"NCCL_ALGO": "Tree"}, annotation={"networking.gke.io/interfaces": "[]"}
    )
    assert env(spec)["NCCL_ALGO"] == "Tree"
    assert annotations["networking.gke.io/interfaces"] == "[]"
    assert len({e["name"] for e in spec["containers"][0]["env"]}) == len(spec["containers"][0]["env"])
