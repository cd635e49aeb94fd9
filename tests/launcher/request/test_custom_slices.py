"""Slices that the catalogue lacks: their arithmetic, resnet-launch.yaml, and every verb that sees them."""

import json

import pytest
import yaml

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import custom_slices
from launcher.request.readers import Wrong

NEXT = "accelerator=tpu-v9-slice,topology=4x4,chips-per-host=4"


def jobset(**fields):
    *_, rendered = render(TrainingJob(**{"arch": "resnet18", "bucket": "b-1", "slice": "custom", **fields}))
    return rendered


def pod(**fields):
    return jobset(**fields)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


def test_a_tpu_slice_is_rendered_as_one_of_the_catalogue():
    job = TrainingJob(slice="custom", custom_slice=NEXT, arch="resnet18", bucket="b-1", num_slices=2)
    assert (job.name, job.hosts, job.devices, job.shape.chips) == ("resnet18-custom", 8, 32, 16)
    rendered = jobset(custom_slice=NEXT)
    assert rendered["metadata"]["annotations"]["alpha.jobset.sigs.k8s.io/exclusive-topology"]
    spec = pod(custom_slice=NEXT)
    assert spec["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v9-slice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert spec["containers"][0]["resources"]["limits"] == {"google.com/tpu": 4}
    assert spec["tolerations"] == [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_the_same_facts_as_the_catalogue_s_give_the_same_pods():
    facts = "accelerator=tpu-v5-lite-podslice,topology=4x8,chips-per-host=4"
    assert pod(custom_slice=facts, name="x") == pod(slice="v5e-32", name="x")


def test_gpus_of_another_vendor_on_named_machines():
    facts = "accelerator=mi400,chips-per-host=8,hosts=2,resource=amd.com/gpu,machine=m-8,arch=arm64"
    spec = pod(custom_slice=facts, slice="mi400")
    assert spec["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "mi400",
        "node.kubernetes.io/instance-type": "m-8",
    }
    assert spec["containers"][0]["resources"]["limits"] == {"amd.com/gpu": 8}
    assert [entry["key"] for entry in spec["tolerations"]] == ["amd.com/gpu", "kubernetes.io/arch"]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (f"{NEXT},hosts=8", "hosts must be 4: 4x4 has 16 chips, 4 on each host, got 8"),
        ("accelerator=t,topology=2x3x5,chips-per-host=4", "chips-per-host must divide the 30 chips of 2x3x5"),
        ("accelerator=t,topology=4,chips-per-host=4", "topology must be a topology such as 4x4 or 4x4x8"),
        ("accelerator=t,topology=999x999x999,chips-per-host=1", "topology must make at most 100000 hosts"),
        ("accelerator=t,chips-per-host=4,resource=google.com/tpu", "topology must be given for TPUs"),
        (f"{NEXT},resource=nvidia.com/gpu", "topology must be left out with resource nvidia.com/gpu"),
        ("topology=4x4,chips-per-host=4", "must have accelerator"),
        ("accelerator=t,topology=4x4", "must have chips-per-host"),
        (f"{NEXT},acelerator=t", "must hold accelerator, topology"),
        (f"{NEXT},devices-per-chip=3", "devices-per-chip must be a whole number from 1 to 2"),
        (f"{NEXT},topology=8x8", "must have each name once, got 'topology'"),
        ("accelerator", "must be NAME=VALUE,…"),
        ({"accelerator": "t", "chips-per-host": 0}, "chips-per-host must be a whole number from 1 to 64"),
        ({"accelerator": "a b", "chips-per-host": 4}, "accelerator must be at most 63 letters"),
        (7, "must be NAME=VALUE,…"),
    ],
)
def test_facts_that_disagree(facts, message):
    with pytest.raises(Wrong) as caught:
        custom_slices.read(facts)
    assert message in str(caught.value)
    with pytest.raises(RequestError, match="custom-slice: "):
        TrainingJob(slice="custom", custom_slice=facts, arch="resnet18")


@pytest.mark.parametrize("name", ["v4-32", "v5e-24", "cpu-2x1", "h100-9", "gb300-nolssd-8"])
def test_a_name_of_the_catalogue_stays_the_catalogue_s(name):
    with pytest.raises(RequestError, match="slice: must be custom, or a name of its own"):
        TrainingJob(slice=name, custom_slice=NEXT, arch="resnet18")


def test_text_and_mapping_are_one():
    facts = custom_slices.read(NEXT)
    assert custom_slices.read(facts) == facts == custom_slices.read(custom_slices.text(facts))


FILE = """\
bucket: b-1
slices:
  next-tpu: {accelerator: tpu-v9-slice, topology: 4x4x8, chips-per-host: 4}
  b400: {accelerator: nvidia-b400, chips_per_host: 8, hosts: 2, machine: a5}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(FILE)
    return tmp_path


def test_a_file_names_slices(folder, capsys):
    assert main(["render", "--slice=next-tpu", "--arch=resnet18"]) == 0
    rendered = yaml.safe_load(capsys.readouterr().out)
    assert rendered["metadata"]["name"] == "resnet18-next-tpu"
    assert rendered["metadata"]["annotations"]["resnet-launch/slice"] == "next-tpu"
    assert rendered["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"] == 32
    assert main(["render", "--slice=v4-8", "--arch=resnet18"]) == 0


def test_slices_lists_them(folder, capsys):
    assert main(["slices"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "custom",
        "2",
        "16",
        "to",
        "128",
        "a5",
        "next-tpu",
    ]
    assert main(["slices", "b400", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["hosts"], listed["chips"], listed["machine"]) == (2, 16, "a5")
    assert main(["slices", "--all"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("b400 ")


def test_check_and_local_say_what_they_cannot(folder, capsys):
    assert main(["check", "--slice=next-tpu", "--arch=resnet18", "--no-cluster"]) == 2
    error = capsys.readouterr().err
    assert "error: slice: must be a slice whose chip is in the catalogue, got 'next-tpu'" in error
    assert "hint: --estimate counts the operations of a step" in error
    assert main(["local", "--slice=next-tpu", "--arch=resnet18"]) == 2
    assert "hint: --slice cpu-32x4 has as many hosts and devices" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slices: [a]", "slices must be a mapping of names to facts, in line 1"),
        ("slices:\n  v4-32: {}", "slices: v4-32: must not have the name of a slice of the catalogue"),
        ("slices:\n  A_b: {}", "slices: A_b: must be at most 40 lower-case letters"),
        (
            "slices:\n  a:\n    accelerator: t",
            "slices: a: must have chips-per-host, got 'accelerator', in line 2",
        ),
        ("slices:\n  a: {accelerator: t, chips-per-host: 010}", "slices: a: "),
    ],
)
def test_a_wrong_entry_names_its_line(folder, capsys, text, message):
    (folder / "resnet-launch.yaml").write_text(text)
    code = main(["render", "--slice=a", "--arch=resnet18"])
    error = capsys.readouterr().err
    if "010" in text:  # ten, as it is written
        assert code == 0
    else:
        assert (code, message in error) == (2, True), error


@pytest.mark.parametrize("machine", ["", ",machine=ct9-hightpu-4t"])
def test_the_disks_of_its_machines_are_the_person_s_to_know(machine):
    spec = pod(custom_slice=NEXT + machine, mount=["ssd:/fast"])
    assert spec["nodeSelector"]["cloud.google.com/gke-ephemeral-storage-local-ssd"] == "true"
    with pytest.raises(RequestError, match="must not mount ssd on h100-nolssd-4"):
        TrainingJob(slice="h100-nolssd-4", arch="resnet18", bucket="b-1", mount=["ssd:/fast"])
