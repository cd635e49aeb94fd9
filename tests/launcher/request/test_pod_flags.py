"""Flags of the pods: where each one ends up, files of variables, several patches, reservations."""

import pytest
import yaml

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import env_files, kubernetes_names, reservations, sources

BASE = {"slice": "v5e-16", "arch": "resnet18", "bucket": "b-1"}


def pod(**fields):
    *_, jobset = render(TrainingJob(**{**BASE, **fields}))
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        (
            {"image_pull_secret": ["a", "b", "a"]},
            "imagePullSecrets",
            [{"name": "a"}, {"name": "b"}],
        ),
        ({"priority_class": "low"}, "priorityClassName", "low"),
        ({"scheduler": "packing"}, "schedulerName", "packing"),
        (
            {"node_affinity": ["zone=a|b", "gen=1"]},
            "affinity",
            {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "zone", "operator": "In", "values": ["a", "b"]},
                                    {"key": "gen", "operator": "In", "values": ["1"]},
                                ]
                            }
                        ]
                    }
                }
            },
        ),
    ],
)
def test_a_field_of_the_pods(fields, key, value):
    assert pod(**fields)[key] == value
    assert key not in pod()


@pytest.mark.parametrize(
    ("slice", "fields", "requests", "limits"),
    [
        ("cpu-1x1", {}, {"cpu": "500m"}, None),
        ("cpu-1x1", {"cpu_limit": "250m"}, {"cpu": "250m"}, {"cpu": "250m"}),
        ("cpu-1x1", {"cpu": "1", "cpu_limit": "2"}, {"cpu": "1"}, {"cpu": "2"}),
        (
            "cpu-1x1",
            {"memory": "1Gi"},
            {"memory": "1Gi", "cpu": "500m"},
            {"memory": "1Gi"},
        ),
        (
            "cpu-1x1",
            {"memory": "1Gi", "memory_limit": "2Gi"},
            {"memory": "1Gi", "cpu": "500m"},
            {"memory": "2Gi"},
        ),
        (
            "v5e-16",
            {"memory_limit": "2Gi", "ephemeral_storage": "1Gi"},
            {"google.com/tpu": 4, "memory": "2Gi", "ephemeral-storage": "1Gi"},
            {"google.com/tpu": 4, "memory": "2Gi", "ephemeral-storage": "1Gi"},
        ),
    ],
)
def test_requests_and_limits(slice, fields, requests, limits):
    resources = pod(slice=slice, **fields)["containers"][0]["resources"]
    assert resources == {"requests": requests} | ({"limits": limits} if limits else {})


def test_shm_and_pull_policy():
    spec = pod(shm="1Gi", image_pull_policy="Never")
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in spec["volumes"]
    assert spec["containers"][0]["imagePullPolicy"] == "Never"


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("1", 1),
        ("500m", 0.5),
        ("1.5Gi", 1610612736),
        ("2k", 2000),
        ("1Ki", 1024),
        ("3P", 3e15),
        ("1Ei", 2**60),
    ],
)
def test_amounts(quantity, amount):
    assert kubernetes_names.amount(quantity) == amount


LABEL = "cloud.google.com/reservation-"


@pytest.mark.parametrize(
    ("reservation", "labels"),
    [
        ("r.1", {"name": "r.1"}),
        ("r/reservationBlocks/b", {"name": "r", "blocks": "b"}),
        ("projects/p/reservations/r", {"name": "r", "project": "p"}),
        (
            "projects/p/reservations/r/reservationBlocks/b/reservationSubBlocks/s-1",
            {"name": "r", "project": "p", "blocks": "b", "subblocks": "s-1"},
        ),
    ],
)
def test_a_reservation_s_nodes(reservation, labels):
    assert reservations.labels(reservation) == {LABEL + name: value for name, value in labels.items()}
    selector = pod(reservation=reservation)["nodeSelector"]
    assert {key: value for key, value in selector.items() if key.startswith(LABEL)} == {
        LABEL + name: value for name, value in labels.items()
    }


def test_a_compute_class_selects_and_tolerates_its_nodes():
    spec = pod(slice="cpu-2x1", compute_class="cheap")
    assert spec["nodeSelector"] == {"cloud.google.com/compute-class": "cheap"}
    assert {"key": "cloud.google.com/compute-class", "operator": "Exists", "effect": "NoSchedule"} in spec[
        "tolerations"
    ]


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("A=1\n\n # of the team\nB=\n", {"A": "1", "B": ""}),
        ("export A=b\r\nA = c\r\n", {"A": "c"}),
        ("A='x y'\nB=\"#\"\nC='\nD=a=b\n", {"A": "x y", "B": "#", "C": "'", "D": "a=b"}),
        ("\ufeffA=é☃\nB=$A\n", {"A": "é☃", "B": "$A"}),
    ],
)
def test_a_file_of_variables(text, variables):
    assert env_files.parse(text) == variables


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\nsecret words\n", 2), ("1A=2", 1), ("\n\n=x\n", 3), ("A B=1", 1), ("A=\0", 1)],
)
def test_a_wrong_line_is_named_and_not_shown(tmp_path, capsys, text, line):
    path = tmp_path / "train.env"
    path.write_text(text)
    assert main(["render", "--slice=v5e-16", "--arch=resnet18", f"--env-file={path}"]) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: env-file: must hold NAME=VALUE lines, got a")
    assert error.endswith(f"(from {path}:{line})")
    assert "secret" not in error


def test_flags_win_over_files_and_later_files_over_earlier(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text("env-file: [a.env]\nenv: {C: file}\n")
    (tmp_path / "a.env").write_text("A=a\nB=a\nC=a\n")
    (tmp_path / "b.env").write_text("B=b\n")
    flags = ["--slice=cpu-1x1", "--arch=resnet18", "--env-file=b.env", "--env=D=flag"]
    assert main(["render", *flags]) == 0
    jobset = yaml.safe_load(capsys.readouterr().out)
    spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
    assert {name: env[name] for name in "ABCD"} == {"A": "a", "B": "b", "C": "file", "D": "flag"}


def test_patches_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(
        "patch:\n- spec: {ttlSecondsAfterFinished: 1}\n- team.yaml\n"
    )
    (tmp_path / "team.yaml").write_text("metadata: {labels: {a: team, b: team}}\n")
    (tmp_path / "one.yaml").write_text("metadata: {labels: {b: one, c: one}}\n")
    (tmp_path / "two.yaml").write_text("metadata: {labels: {c: two}}\n")
    flags = ["--slice=cpu-1x1", "--arch=resnet18", "--patch=one.yaml", "--patch=two.yaml"]
    assert main(["render", *flags]) == 0
    jobset = yaml.safe_load(capsys.readouterr().out)
    assert jobset["spec"]["ttlSecondsAfterFinished"] == 1
    assert {name: jobset["metadata"]["labels"][name] for name in "abc"} == {
        "a": "team",
        "b": "one",
        "c": "two",
    }


def test_a_missing_file_is_named_with_the_line_that_names_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("env-file", "patch"):
        (tmp_path / "resnet-launch.yaml").write_text(f"bucket: b-1\n{name}: [none]\n")
        assert main(["render", "--slice=cpu-1x1", "--arch=resnet18"]) == 2
        error = capsys.readouterr().err
        assert f"error: {name}: must be a readable file, got '{tmp_path}/none'" in error
        assert f"(from {tmp_path}/resnet-launch.yaml:2)" in error


@pytest.mark.parametrize("data", [{"env-file": "/etc/passwd"}, {"resnet-launch.yaml": "patch: [a.yaml]"}])
def test_a_cluster_s_defaults_name_no_file(data):
    with pytest.raises(RequestError, match=r"must (not have env-file|have a mapping as patch), got"):
        sources.configmap("the ConfigMap", data)
