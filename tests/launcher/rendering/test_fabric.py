"""What each GPU network needs in a pod, and that no other pod gets it."""

import json

import pytest

from launcher import TrainingJob, render
from launcher.errors import RequestError
from launcher.request import summary


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
    assert daemon["image"] == "us-docker.pkg.dev/gce-ai-infra/gpudirect-tcpx/tcpgpudmarxd-dev:v2.0.15"
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
    assert daemon["image"].endswith("gpudirect-tcpxo/tcpgpudmarxd-dev:v1.0.21")
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
    expected = {"eth0": "default"} | {f"eth{2 + i}": f"rdma-{i}" for i in range(cards)}
    assert interfaces(annotations) == expected
    assert "initContainers" not in spec
    assert host_paths(spec) == {"nvidia": "/home/kubernetes/bin/nvidia", "gib": "/home/kubernetes/bin/gib"}
    assert spec["containers"][0]["command"][2].startswith("source /usr/local/gib/scripts/set_nccl_env.sh")
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
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
            "numNodes": 0,
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


def test_an_nvlink_domain_leaves_the_affinity_to_nodes():
    _, spec, _ = pod("gb200-16", node_affinity=["topology.kubernetes.io/zone=a|b"])
    assert spec["affinity"].keys() == {"nodeAffinity", "podAffinity"}


def limits(spec):
    return spec["containers"][0]["resources"]["limits"]


def test_hosts_of_each_slice_stay_in_one_nvlink_domain():
    """Pods of one slice follow its first pod: JobSet gives each slice a job-key of its own."""
    _, spec, objects = pod("gb200-72", num_slices=2)
    [term] = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {
        "topologyKey": "cloud.google.com/gce-topology-subblock",
        "labelSelector": {"matchLabels": {"jobset.sigs.k8s.io/jobset-name": "resnet50-gb200-72"}},
        "matchLabelKeys": ["jobset.sigs.k8s.io/job-key"],
    }
    assert [entry["kind"] for entry in objects] == ["ComputeDomain"]


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"platform": "generic", "fabric": "ib"}, "nvidia.com/gpu.clique"),
        ({"fabric": "dranet"}, "cloud.google.com/gce-topology-subblock"),
        ({"queue": "q", "topology_required": "a/b"}, None),  # Kueue places them
        ({"queue": "q", "topology_preferred": "a/b"}, None),
        ({"fabric": "none"}, None),
    ],
)
def test_label_of_an_nvlink_domain(fields, label):
    _, spec, _ = pod("gb200-16", **fields)
    if label is None:
        assert "affinity" not in spec
    else:
        [term] = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == label


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"fabric": "efa"}, {"vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "5120Mi"}),
        (
            {"fabric": "efa", "fabric_resource": {"vpc.amazonaws.com/efa": 8}},
            {"vpc.amazonaws.com/efa": 8, "hugepages-2Mi": "5120Mi"},
        ),
        (
            {"fabric": "efa", "fabric_resource": ["hugepages-2Mi=1Gi"]},
            {"vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "1Gi"},
        ),
        ({"fabric": "ib"}, {"rdma/ib": 1}),
        (
            {"fabric": "ib", "fabric_resource": ["rdma/hca_shared_devices_a=1"]},
            {"rdma/hca_shared_devices_a": 1},
        ),
        ({"fabric": "roce", "fabric_resource": ["nvidia.com/rdma=8"]}, {"nvidia.com/rdma": 8}),
        ({"fabric": "none"}, {}),
    ],
)
def test_resources_elsewhere(fields, expected):
    _, spec, objects = pod("h100-16", platform="generic", **fields)
    assert limits(spec) == {"nvidia.com/gpu": 8, **expected}
    assert objects == []
    # Kubernetes refuses huge pages without CPU or memory
    assert ("cpu" in spec["containers"][0]["resources"]["requests"]) == ("hugepages-2Mi" in expected)


def test_one_host_needs_no_fabric():
    _, spec, _ = pod("h100-8", platform="generic", fabric="efa")
    assert limits(spec) == {"nvidia.com/gpu": 8}


@pytest.mark.parametrize("resource", ["amd.com/gpu", "amd.com/gpu-mi300"])
def test_jax_s_platform_on_amd(resource):
    _, spec, _ = pod("h100-8", platform="generic", gpu_resource=resource)
    assert env(spec)["JAX_PLATFORMS"] == "rocm,cpu"
    _, spec, _ = pod("h100-8", platform="generic", gpu_resource="example.com/gpu")
    assert env(spec)["JAX_PLATFORMS"] == "cuda,cpu"


@pytest.mark.parametrize(
    ("name", "fields", "field", "message"),
    [
        ("h100-16", {"fabric": "infiniband"}, "fabric", "must be auto, dranet, efa, ib, roce or none"),
        ("h100-16", {"fabric": "efa"}, "fabric", "must be auto, dranet or none on platform gke"),
        ("h200-16", {"fabric": "dranet", "platform": "generic"}, "fabric", "must be efa, ib, roce or none"),
        ("h100-16", {"fabric": "dranet"}, "fabric", "its hosts have tcpx"),
        ("a100-16", {"fabric": "dranet"}, "fabric", "its hosts have no fabric"),
        ("v4-32", {"fabric": "roce"}, "fabric", "it has no GPUs"),
        ("cpu-2x1", {"fabric": "ib", "platform": "generic"}, "fabric", "it has no GPUs"),
        ("h200-16", {"fabric": "efa", "platform": "generic"}, "fabric-resource", "depends on the machine"),
        (
            "h100-4",
            {"fabric": "efa", "platform": "generic", "num_slices": 2},
            "fabric-resource",
            "depends on",
        ),
        (
            "h100-16",
            {"fabric": "roce", "platform": "generic"},
            "fabric-resource",
            "a resource name of its own",
        ),
        (
            "h100-16",
            {"fabric_resource": ["a/b=1"]},
            "fabric-resource",
            "must be used with --fabric efa, ib or",
        ),
        (
            "h100-16",
            {"fabric": "ib", "platform": "generic", "fabric_resource": ["a/b=1.5"]},
            "fabric-resource",
            "must be a/b=N",
        ),
        (
            "h100-16",
            {"fabric": "efa", "platform": "generic", "fabric_resource": ["hugepages-2Mi=lots"]},
            "fabric-resource",
            "must be hugepages-2Mi=QUANTITY",
        ),
        ("h100-16", {"fabric": "ib", "fabric_resource": ["x"]}, "fabric-resource", "must be NAME=N"),
    ],
)
def test_refused(name, fields, field, message):
    with pytest.raises(RequestError) as caught:
        pod(name, **fields)
    assert field in [problem.field for problem in caught.value.problems]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "fabric"),
    [(True, "auto"), (False, "none"), ("false", "none"), ("1", "auto"), ("none", "none"), ("auto", "auto")],
)
def test_switches_of_earlier_versions(value, fabric):
    assert TrainingJob(slice="h100-16", arch="resnet50", fabric=value).fabric == fabric


@pytest.mark.parametrize(
    ("name", "fields", "warned"),
    [
        ("h100-16", {}, True),
        ("a100-8", {"num_slices": 2}, True),
        ("l4-1", {"num_slices": 4}, True),
        ("h100-8", {}, False),
        ("h100-16", {"fabric": "none"}, False),
        ("h100-16", {"fabric": "ib"}, False),
        ("cpu-2x1", {}, False),
    ],
)
def test_several_hosts_without_a_fabric_are_warned_about(name, fields, warned):
    job = TrainingJob(slice=name, arch="resnet50", bucket="b-1", platform="generic", **fields)
    assert any("no fabric is named" in line for line in summary.warnings(job)) == warned
