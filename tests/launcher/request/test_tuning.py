"""Published settings for speed: what a run takes of them, and what is only named."""

import pytest

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import tuning

V6E = "--megascale_abort_on_hangs=true --megascale_grpc_premap_memory_bytes=17179869184"
V6E += " --xla_tpu_enable_sunk_dcn_allreduce_done_with_host_reduction=true"


def pod(**fields):
    [jobset] = render(TrainingJob(**{"arch": "resnet50", "bucket": "b-1", **fields}))
    spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
    return env.get("LIBTPU_INIT_ARGS"), spec.get("hostNetwork", False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"slice": "v6e-16", "num_slices": 2}, (V6E, True)),
        ({"slice": "v5e-16", "num_slices": 2}, ("--megascale_abort_on_hangs=true", False)),
        ({"slice": "v4-32", "num_slices": 3}, ("--megascale_abort_on_hangs=true", False)),
        ({"slice": "v6e-16"}, (None, False)),
        ({"slice": "a100-16", "num_slices": 2}, (None, False)),
        ({"slice": "cpu-2x1", "num_slices": 2}, (None, False)),
        ({"slice": "v6e-16", "num_slices": 2, "env": {"LIBTPU_INIT_ARGS": "--mine"}}, ("--mine", True)),
    ],
)
def test_what_a_pod_sets(fields, expected):
    assert pod(**fields, tuning="published") == expected
    own = fields.get("env", {}).get("LIBTPU_INIT_ARGS")
    assert pod(**fields) == (own, False)  # nothing without being asked


def test_huge_pages_belong_to_the_node_pool():
    for name, named in (("v5e-16", True), ("v6e-1", True), ("v4-32", False), ("h100-8", False)):
        settings = [*tuning.settings(TrainingJob(slice=name, arch="resnet50"))]
        assert any("transparentHugepage" in entry.name and not entry.pod for entry in settings) == named


def test_render_explain_names_them_with_their_sources(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = "render --slice v6e-16 --num-slices 2 --arch resnet50 --bucket b-1"
    assert main([*arguments.split(), "--explain"]) == 0
    head = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    assert head[0].endswith("not measured by this project:")
    assert len(head) == 5
    for line, source in zip(head[1:], ("GKE", "axlearn", "tpu-recipes", "ai-on-gke"), strict=True):
        assert source in line
    assert main(arguments.split()) == 0
    assert "# " not in capsys.readouterr().out


def test_check_names_them(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flags = "--slice v5e-16 --arch resnet50 --bucket b-1 --no-compile --no-cluster"
    assert main(["check", *flags.split()]) == 0
    assert "published settings for 1 x v5e-16" in capsys.readouterr().out
    assert main(["check", *flags.replace("v5e-16", "v4-32").split()]) == 0
    assert "published settings" not in capsys.readouterr().out


@pytest.mark.parametrize("value", ["fast", "", "Published", 7])
def test_no_other_profile(value):
    with pytest.raises(RequestError, match="tuning: must be none or published"):
        TrainingJob(slice="v4-8", arch="resnet50", tuning=value)
