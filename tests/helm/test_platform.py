"""The chart that a cluster team installs once: the objects it creates, the values it refuses."""

import json

import pytest
import yaml
from charts import PLATFORM, Helm, Object, Result
from policies import network_policies, reaches

from launcher import TrainingJob
from launcher.rendering.jobset import render
from launcher.request import sources

QUEUES: Object = {"enabled": True, "flavors": {"v4-32": 64, "v6e-8": 8, "v6e-8-1": 8, "h100": 32, "cpu": 4}}


def template(helm: Helm, values: Object, *arguments: str) -> Result:
    return helm(
        "template",
        "p",
        str(PLATFORM),
        "--namespace",
        "vision",
        *arguments,
        "-f",
        "-",
        stdin=json.dumps(values),
    )


def made(helm: Helm, values: Object, *arguments: str) -> dict[str, Object]:
    """Return KIND/NAME -> object."""
    objects = template(helm, values, *arguments).objects
    return {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in objects}


def test_without_values_it_makes_what_a_namespace_needs(helm: Helm) -> None:
    objects = made(helm, {})
    assert objects.keys() == {
        "ServiceAccount/trainer",
        "Role/resnet-launch-researcher",
        "ConfigMap/resnet-launch-defaults",
        "NetworkPolicy/resnet-launch-runs",
        "Service/smoke-p",
        "Job/smoke-p",
    }
    assert {manifest["metadata"]["namespace"] for manifest in objects.values()} == {"vision"}


def test_the_defaults_are_what_the_launcher_reads(helm: Helm) -> None:
    defaults = {
        "bucket": "team-runs",
        "image": "r/i:1",
        "secret-env": {"WANDB_API_KEY": "wandb/key"},
        "batch": 4096,
    }
    objects = made(helm, {"defaults": defaults, "kueue": {**QUEUES, "localQueue": "team"}})
    source = sources.configmap("here", objects["ConfigMap/resnet-launch-defaults"]["data"])
    assert source.values == {
        "bucket": "team-runs",
        "image": "r/i:1",
        "secret_env": {"WANDB_API_KEY": "wandb/key"},
        "batch": 4096,
        "queue": "team",
        "service_account": "trainer",
    }
    job = TrainingJob(slice="v4-32", arch="resnet50", **source.values)
    assert (job.queue, job.batch, job.run_dir) == ("team", 4096, "gs://team-runs/resnet50-v4-32")


def test_flavors_have_the_labels_that_runs_select(helm: Helm) -> None:
    objects = made(helm, {"kueue": {**QUEUES, "topology": ["block"], "topologyFlavors": ["h100"]}})
    labels = {name: objects[f"ResourceFlavor/{name}"]["spec"]["nodeLabels"] for name in QUEUES["flavors"]}
    assert labels == {
        "v4-32": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v4-podslice",
            "cloud.google.com/gke-tpu-topology": "2x2x4",
        },
        "v6e-8": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "2x4",
            "cloud.google.com/gke-accelerator-count": "4",
        },
        "v6e-8-1": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "2x4",
            "cloud.google.com/gke-accelerator-count": "8",
        },
        "h100": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
        "cpu": {},
    }
    assert objects["ResourceFlavor/h100"]["spec"]["topologyName"] == "resnet"
    assert "topologyName" not in objects["ResourceFlavor/v4-32"]["spec"]
    groups = objects["ClusterQueue/resnet"]["spec"]["resourceGroups"]
    assert [(group["coveredResources"], [f["name"] for f in group["flavors"]]) for group in groups] == [
        (["cpu"], ["cpu"]),
        (["google.com/tpu"], ["v4-32", "v6e-8", "v6e-8-1"]),
        (["nvidia.com/gpu"], ["h100"]),
    ]
    assert objects["WorkloadPriorityClass/high"]["value"] == 1000


SERVED = {
    "without a cluster": ([], "", "v1beta2", "v1beta2"),
    "0.19": (["v1beta2", "v1beta1"], "", "v1beta2", "v1beta2"),
    "0.14": (["v1beta1", "v1beta1/Topology"], "", "v1beta1", "v1beta1"),
    "0.13": (["v1beta1", "v1alpha1/Topology"], "", "v1beta1", "v1alpha1"),
    "by value": ([], "v1beta1", "v1beta1", "v1beta1"),
    "by value against the cluster": (["v1beta2", "v1beta1"], "v1beta1", "v1beta1", "v1beta1"),
}


@pytest.mark.parametrize(("served", "version", "objects_in", "topology_in"), SERVED.values(), ids=SERVED)
def test_kueue_s_newest_version_that_the_cluster_has(
    helm: Helm, served: list[str], version: str, objects_in: str, topology_in: str
) -> None:
    values = {**QUEUES, "apiVersion": version, "topology": ["block"], "topologyFlavors": ["h100"]}
    apis = [argument for api in served for argument in ("--api-versions", f"kueue.x-k8s.io/{api}")]
    objects = made(helm, {"kueue": values}, *apis)
    kinds = ("LocalQueue", "ClusterQueue", "ResourceFlavor", "WorkloadPriorityClass")
    of_kueue = [value for name, value in objects.items() if name.startswith(kinds)]
    assert {manifest["apiVersion"] for manifest in of_kueue} == {f"kueue.x-k8s.io/{objects_in}"}
    assert len(of_kueue) == 9
    assert objects["Topology/resnet"]["apiVersion"] == f"kueue.x-k8s.io/{topology_in}"


def test_large_numbers_stay_numbers(helm: Helm) -> None:
    objects = made(
        helm, {"quota": {"count/pods": 1000000}, "kueue": {**QUEUES, "flavors": {"v4-32": 3000000}}}
    )
    assert objects["ResourceQuota/resnet-launch"]["spec"] == {"hard": {"count/pods": "1000000"}}
    [group] = objects["ClusterQueue/resnet"]["spec"]["resourceGroups"]
    assert group["flavors"][0]["resources"] == [{"name": "google.com/tpu", "nominalQuota": "3000000"}]


def test_a_second_namespace_shares_the_cluster_queue(helm: Helm) -> None:
    objects = made(helm, {"kueue": {**QUEUES, "cluster": False, "clusterQueue": "shared"}})
    assert objects["LocalQueue/resnet"]["spec"] == {"clusterQueue": "shared"}
    assert not [name for name in objects if name.startswith(("ClusterQueue", "ResourceFlavor", "WorkloadP"))]


def test_a_namespace_of_its_own_enforces_pod_security(helm: Helm) -> None:
    objects = made(helm, {"namespace": "vision-runs", "createNamespace": True})
    labels = objects["Namespace/vision-runs"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaces = {
        made["metadata"].get("namespace") for name, made in objects.items() if "Namespace" not in name
    }
    assert namespaces == {"vision-runs"}


def test_the_google_account_and_the_subjects(helm: Helm) -> None:
    account = "trainer@my-project.iam.gserviceaccount.com"
    researchers = [{"kind": "Group", "name": "v@example.com"}, {"kind": "ServiceAccount", "name": "ci"}]
    objects = made(helm, {"serviceAccount": {"googleServiceAccount": account}, "researchers": researchers})
    annotations = objects["ServiceAccount/trainer"]["metadata"]["annotations"]
    assert annotations == {"iam.gke.io/gcp-service-account": account}
    assert objects["RoleBinding/resnet-launch-researcher"]["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "v@example.com"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "vision"},
    ]


@pytest.mark.parametrize("resource", ["jobsets", "pods", "pods/log", "events", "workloads"])
def test_researchers_may_read_what_watch_reads(helm: Helm, resource: str) -> None:
    rules = made(helm, {})["Role/resnet-launch-researcher"]["rules"]
    verbs = {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}
    assert {"get", "list", "watch"} <= verbs


def test_the_policy_lets_a_run_s_own_ports_through(helm: Helm) -> None:
    policy = made(helm, {})["NetworkPolicy/resnet-launch-runs"]["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule.get("ports", [])}
    assert ports == {53, 80, 443, 988}


def pod_labels(name: str, **fields: object) -> dict[str, str]:
    """Return the labels of a run's pods: those of the request and those that JobSet and Job set over them."""
    job = TrainingJob(slice="cpu-2x1", arch="resnet18", bucket="b-1", name=name, **fields)  # pyright: ignore
    pod = render(job)[-1]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    set_by_controllers = {
        "jobset.sigs.k8s.io/jobset-name": name,
        "batch.kubernetes.io/job-name": f"{name}-slice-0",
    }
    return pod["metadata"]["labels"] | set_by_controllers


COORDINATOR = 8476
SMOKE = {"batch.kubernetes.io/job-name": "smoke-p"}


def test_pods_of_a_namespace_reach_one_another_and_no_others(helm: Helm) -> None:
    policies = network_policies(made(helm, {}).values())
    one, other = pod_labels("one"), pod_labels("other")
    assert reaches(policies, one, one, COORDINATOR)
    assert reaches(policies, other, one, COORDINATOR)
    assert not reaches(policies, one, {}, COORDINATOR, other_namespace=True)
    assert not reaches(policies, {}, one, COORDINATOR, from_other_namespace=True)


@pytest.mark.parametrize(
    "labels", [{}, {"app.kubernetes.io/name": "something-else"}, {"team": "x"}], ids=["none", "app", "team"]
)
def test_no_label_takes_a_pod_out_of_the_policy(helm: Helm, labels: dict[str, str]) -> None:
    policies = network_policies(made(helm, {}).values())
    assert not reaches(policies, labels, {}, COORDINATOR, other_namespace=True)
    assert not reaches(policies, {}, labels, COORDINATOR, from_other_namespace=True)


def test_pods_of_a_run_of_its_own_policy_reach_no_other_run(helm: Helm) -> None:
    objects = made(helm, {"networkPolicy": {"perRun": True}})
    shared = sources.configmap("here", objects["ConfigMap/resnet-launch-defaults"]["data"]).values
    assert shared["network_policy"] is True
    runs: list[Object] = []
    for name in ("one", "other"):
        runs += render(
            TrainingJob(slice="cpu-2x1", arch="resnet18", bucket="b-1", name=name, network_policy=True)
        )
    policies = network_policies([*objects.values(), *runs])
    one, other = pod_labels("one"), pod_labels("other")
    assert reaches(policies, one, one, COORDINATOR)
    assert reaches(policies, other, other, COORDINATOR)
    assert not reaches(policies, other, one, COORDINATOR)
    assert not reaches(policies, one, other, COORDINATOR)
    assert not reaches(policies, {}, one, COORDINATOR)
    assert reaches(policies, SMOKE, SMOKE, COORDINATOR)
    assert not reaches(policies, one, SMOKE, COORDINATOR)


def test_a_run_s_policy_alone_keeps_the_namespace_out(helm: Helm) -> None:
    """`--network-policy` without the platform admits the run's pods and cuts off nothing else."""
    job = TrainingJob(slice="cpu-2x1", arch="resnet18", bucket="b-1", name="one", network_policy=True)
    policies = network_policies(render(job))
    one, other = pod_labels("one"), pod_labels("other")
    assert reaches(policies, one, one, COORDINATOR)
    assert not reaches(policies, other, one, COORDINATOR)
    assert reaches(policies, one, other, COORDINATOR)
    assert reaches(policies, one, {}, 443, other_namespace=True)


GOOGLE = "monitoring.googleapis.com/v1/PodMonitoring"
OPERATOR = "monitoring.coreos.com/v1/PodMonitor"
FIRST_PODS = {
    "app.kubernetes.io/name": "resnet-launch",
    "jobset.sigs.k8s.io/job-index": "0",
    "batch.kubernetes.io/job-completion-index": "0",
}


def test_nothing_is_scraped_where_nothing_scrapes(helm: Helm) -> None:
    for values, flags in (({}, ()), ({"monitoring": {"enabled": False}}, ("--api-versions", GOOGLE))):
        objects = made(helm, values, *flags)
        assert not [name for name in objects if name.startswith("PodMonitor")]
        assert "metrics_port" not in objects["ConfigMap/resnet-launch-defaults"]["data"]["resnet-launch.yaml"]


def test_google_s_prometheus_scrapes_the_first_pod_of_each_run(helm: Helm) -> None:
    values = {"monitoring": {"port": 9500}, "defaults": {"set": ["log.every_steps=5"]}}
    objects = made(helm, values, "--api-versions", GOOGLE)
    assert objects["PodMonitoring/resnet-launch-runs"]["spec"] == {
        "selector": {"matchLabels": FIRST_PODS},
        "targetLabels": {"fromPod": [{"from": "jobset.sigs.k8s.io/jobset-name", "to": "run"}]},
        "endpoints": [{"port": 9500, "interval": "30s"}],
    }
    assert "PodMonitor/resnet-launch-runs" not in objects
    shared = yaml.safe_load(objects["ConfigMap/resnet-launch-defaults"]["data"]["resnet-launch.yaml"])
    assert shared["set"] == ["log.metrics_port=9500", "log.every_steps=5"]
    ingress = objects["NetworkPolicy/resnet-launch-runs"]["spec"]["ingress"]
    assert ingress[1] == {"ports": [{"port": 9500, "protocol": "TCP"}]}


def test_the_prometheus_operator_does_too(helm: Helm) -> None:
    spec = made(helm, {}, "--api-versions", OPERATOR)["PodMonitor/resnet-launch-runs"]["spec"]
    assert spec["selector"] == {"matchLabels": FIRST_PODS}
    [endpoint] = spec["podMetricsEndpoints"]
    address, run, drop = endpoint["relabelings"]
    assert (address["targetLabel"], address["replacement"]) == ("__address__", "$1:9400")
    assert run["targetLabel"] == "run"
    assert drop == {"regex": "container|endpoint", "action": "labeldrop"}


def test_the_dashboard_where_its_kind_is_served(helm: Helm) -> None:
    kind = "grafana.integreatly.org/v1beta1/GrafanaDashboard"
    board = json.loads(
        made(helm, {}, "--api-versions", kind)["GrafanaDashboard/resnet-launch"]["spec"]["json"]
    )
    assert board["title"] == "resnet-launch, vision"
    assert 'namespace="vision"' in board["panels"][0]["targets"][0]["expr"]
    assert not [name for name in made(helm, {}) if name.startswith("Grafana")]


def test_the_smoke_job_is_what_the_launcher_renders(helm: Helm) -> None:
    objects = made(helm, {"smokeTest": {"image": "r/i:1"}})
    [jobset] = render(
        TrainingJob(
            slice="cpu-2x1",
            arch="resnet-tiny",
            name="smoke-p",
            image="r/i:1",
            data="digits",
            steps=3,
            cpu="100m",
            service_account="trainer",
            set=("model.width=8", "log.wandb=off"),
        )
    )
    expected = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    job = objects["Job/smoke-p"]
    pod = job["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in pod["containers"][0].pop("env")}
    assert env["RESNET_COORDINATOR"] == "smoke-p-0.smoke-p:8476"
    assert env.keys() == {entry["name"] for entry in expected["containers"][0].pop("env")}
    assert pod.pop("subdomain") == "smoke-p"
    # A Job past its deadline deletes its pods and with them their logs, so the pods' own comes first.
    assert (pod.pop("activeDeadlineSeconds"), job["spec"]["activeDeadlineSeconds"]) == (600, 660)
    assert pod == expected
    hooks = [
        objects[name]["metadata"]["annotations"]["helm.sh/hook"]
        for name in ("Job/smoke-p", "Service/smoke-p")
    ]
    assert hooks == ["test", "test"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"queue": "q"}, "additional properties 'queue' not allowed"),
        ({"kueue": {"enable": True}}, "additional properties 'enable' not allowed"),
        ({"defaults": {"bukket": "b"}}, "additional properties 'bukket' not allowed"),
        ({"defaults": {"name": "n"}}, "additional properties 'name' not allowed"),
        ({"defaults": {"bucket": "B"}}, "'/defaults/bucket'"),
        ({"podSecurity": "none"}, "'/podSecurity'"),
        ({"monitoring": {"port": 80}}, "'/monitoring/port'"),
        ({"monitoring": {"interval": "often"}}, "'/monitoring/interval'"),
        ({"researchers": [{"kind": "Team", "name": "x"}]}, "'/researchers/0/kind'"),
        ({"researchers": [{"kind": "Group"}]}, "missing property 'name'"),
        ({"quota": {"count/pods": -1}}, "'/quota/count~1pods'"),
        ({"serviceAccount": {"googleServiceAccount": "me"}}, "'/serviceAccount/googleServiceAccount'"),
        ({"kueue": {"enabled": True}}, "kueue.flavors: must name hardware if kueue.cluster is true"),
        (
            {"kueue": {"enabled": True, "flavors": {"v4-33": 1}}},
            "kueue.flavors: must be a TPU slice, a GPU generation or cpu, got 'v4-33'",
        ),
        (
            {"kueue": {**QUEUES, "topologyFlavors": ["h100"]}},
            "kueue.topologyFlavors: must be flavors, with kueue.topology, got 'h100'",
        ),
        (
            {"kueue": {**QUEUES, "topology": ["a"], "topologyFlavors": ["cpu"]}},
            "kueue.topologyFlavors: must be TPU slices or GPU generations, got 'cpu'",
        ),
        ({"kueue": {**QUEUES, "apiVersion": "v1"}}, "'/kueue/apiVersion'"),
        ({"createNamespace": True}, "createNamespace: must go with a namespace other than the release's"),
    ],
)
def test_refusals(helm: Helm, values: Object, error: str) -> None:
    result = template(helm, values)
    assert (result.code, result.out) == (1, "")
    assert error in result.err


@pytest.mark.parametrize("values", [{}, {"kueue": QUEUES, "quota": {"count/pods": 10}}])
def test_lint(helm: Helm, values: Object) -> None:
    result = helm("lint", "--strict", str(PLATFORM), "-f", "-", stdin=json.dumps(values))
    assert result.code == 0, result.out


def test_the_guide_s_values(helm: Helm) -> None:
    guide = (PLATFORM.parents[1] / "docs" / "guides" / "install-gke.md").read_text()
    block = guide.partition("```yaml\n# vision.yaml\n")[2].partition("```")[0]
    for word in ("PROJECT", "BUCKET", "REGISTRY"):
        assert word in block
        block = block.replace(word, f"my-{word.lower()}")
    objects = made(helm, yaml.safe_load(block))
    assert objects["ClusterQueue/resnet"]["spec"]["resourceGroups"][0]["flavors"][0]["name"] == "v4-32"
    assert objects["Job/smoke-p"]["spec"]["completions"] == 2


def test_every_value_is_documented() -> None:
    document = yaml.safe_load((PLATFORM / "values.yaml").read_text())
    table = (PLATFORM / "README.md").read_text()
    for key, value in document.items():
        names = [f"{key}.{inner}" for inner in value] if isinstance(value, dict) and value else [key]
        assert [name for name in names if f"| `{name}` |" not in table] == []
