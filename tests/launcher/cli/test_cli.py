"""The command line as a person sees it: streams, exit codes, messages."""

import json

import pytest

from launcher.cli import main


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def run(capsys, line):
    code = main(line.split())
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


RENDER = "render --slice cpu-2x1 --arch resnet18 --data digits --bucket b-1 --image r/i:1"


def test_render_is_yaml_and_nothing_else(capsys):
    code, out, err = run(capsys, RENDER)
    assert (code, err) == (0, [])
    assert out.startswith("apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\n")


def test_warnings_are_on_stderr_and_name_their_flag(capsys):
    code, out, err = run(capsys, "render --slice v4-32 --arch resnet50")
    assert code == 0
    assert out.startswith("apiVersion:")
    assert [line.startswith("warning: ") for line in err] == [True, True, True]
    assert ["--data DATA" in err[0], "--bucket BUCKET" in err[1], "--image IMAGE" in err[2]] == [True] * 3


@pytest.mark.parametrize(
    "flags",
    [
        "--slice cpu-2x1 --arch resnet18 --data digits",
        "--slice v5e-16 --arch resnet50 --spot --no-fabric --env A=1 --env B=2 -- --seed 3",
        "--arch resnet18 --label team=a --slice=cpu-1x1",
    ],
)
def test_no_verb_and_no_cluster_is_no_success_and_the_hint_renders(capsys, monkeypatch, tmp_path, flags):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    code, out, err = run(capsys, flags)
    assert (code, out) == (1, "")
    assert err[0] == "error: nothing was submitted: no Kubernetes context is configured"
    assert len(err) == 2
    hint = err[1].removeprefix("hint: resnet-launch ")
    assert run(capsys, hint)[:2] == run(capsys, f"render {flags}")[:2]


def test_a_wrong_request_without_a_cluster_is_still_a_wrong_request(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    code, _, err = run(capsys, "--slice v4-24 --arch resnet18")
    assert code == 2
    assert err[0].startswith("error: slice: must be v4-16")


@pytest.mark.parametrize(
    "arguments",
    [
        "--set train.batch=96",
        "-- --batch 96",
        "-- --set train.batch=96",
        "--set train.batch=96 -- --batch 50",
    ],
)
def test_the_batch_that_wins_is_the_one_that_is_checked(capsys, arguments):
    line = "render --slice v4-32 --arch resnet50 --batch 100"
    assert run(capsys, f"{line} {arguments}")[0] == 0
    code, out, err = run(capsys, f"{line} {arguments.replace('96', '50')}")
    assert (code, out) == (2, "")
    assert err == [
        "error: batch: must be a multiple of the run's 16 devices, got 50",
        "hint: --batch 48 or 64",
    ]


def test_after_two_dashes_it_is_the_trainers(capsys):
    code, out, _ = run(capsys, f"{RENDER} -- --batch 8")
    assert code == 0
    assert out.index("- --batch") < out.index("- '8'")
    code, out, err = run(capsys, f"{RENDER} -- --slice v4-8")
    assert (code, out) == (2, "")
    assert err[0] == "error: args: must be flags of the trainer after --, got '--slice'"
    code, out, _ = run(capsys, f"{RENDER} -- --profile 100-104")
    assert code == 0
    assert out.index("- --profile") < out.index("- 100-104")
    for wrong in ("104-100", "0-3", "5-", "a"):
        code, out, err = run(capsys, f"{RENDER} -- --profile {wrong}")
        assert (code, out) == (2, "")
        assert err[0] == f"error: args: must be FIRST-LAST, counted from 1, got '{wrong}'"


def test_a_patch_is_read_from_a_file(capsys, tmp_path):
    (tmp_path / "patch.yaml").write_text("spec: {failurePolicy: {maxRestarts: 77}}\n")
    code, out, _ = run(capsys, f"{RENDER} --patch patch.yaml")
    assert code == 0
    assert "maxRestarts: 77" in out
    code, out, err = run(capsys, f"{RENDER} --patch none.yaml")
    assert (code, out) == (2, "")
    assert err[0].startswith("error: patch: must be a readable file, got 'none.yaml'")
    (tmp_path / "list.yaml").write_text("- a\n")
    code, _, err = run(capsys, f"{RENDER} --patch list.yaml")
    assert (code, err) == (2, ["error: patch: must be a mapping, got ['a']"])


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("rendr --slice v4-32", "verb: must be a verb or a flag, got 'rendr'", "did you mean render?"),
        ("--slcie v4-32", "flag: must be a flag of resnet-launch, got '--slcie'", "did you mean --slice?"),
        (
            "render --spoot",
            "flag: must be a flag of resnet-launch render, got '--spoot'",
            "did you mean --spot?",
        ),
        ("render", "slice: must be given", "as in --slice v4-32; resnet-launch slices lists them"),
        ("render --slice", "slice: must have a value, got none", None),
        (
            "render extra --slice v4-32",
            "DIR: must be left out unless --format is kustomize, got 'extra'",
            "resnet-launch render DIR --format kustomize --slice v4-32 --arch resnet152",
        ),
        (
            "render --format kustomize --slice v4-32",
            "DIR: must be given with --format kustomize",
            "resnet-launch render DIR --format kustomize --slice v4-32 --arch resnet152",
        ),
        (
            "completion",
            "shell: must be bash, zsh or fish, got none",
            'eval "$(resnet-launch completion bash)"',
        ),
        (
            "completion csh",
            "shell: must be bash, zsh or fish, got 'csh'",
            'eval "$(resnet-launch completion bash)"',
        ),
        (
            "slices v4 v5e",
            "arguments: must be at most 1 for resnet-launch slices, got 'v5e' too",
            "resnet-launch slices v4-32 --json",
        ),
        (
            "render --slice v5e-16 --arch resnet50 --flex 10d",
            "flex: must be above 0 and at most 7d, got 10d",
            "--flex 24h",
        ),
        (
            "slices v4-33",
            "slice: must be v4-32 (16 chips) or v4-64 (32 chips), got 'v4-33'",
            "the number in a v4 name counts TensorCores, 2 per chip: v4-33 would be 16.5 chips",
        ),
        (
            "local --slice v4-32 --arch resnet18",
            "slice: must be cpu-<hosts>x<devices per host> or local-gpu here, got 'v4-32'",
            "--slice cpu-4x4 has as many hosts and devices",
        ),
    ],
)
def test_wrong_requests(capsys, line, error, hint):
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err[:2] == [f"error: {error}"] + ([f"hint: {hint}"] if hint else [])


def test_a_run_directory_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("kept")
    line = f"local --slice cpu-1x1 --arch resnet18 --run-dir {tmp_path}/file"
    code, _, err = run(capsys, line)
    assert code == 1
    assert err[0] == f"error: cannot write the run directory {tmp_path}/file: File exists"
    assert (tmp_path / "file").read_text() == "kept"


def test_slices(capsys):
    code, out, err = run(capsys, "slices --all")
    assert (code, err) == (0, [])
    assert len(out.splitlines()) > 300
    code, out, err = run(capsys, "slices")
    assert code == 0
    assert err == ["resnet-launch slices NAME lists the slices of a generation, --all all of them"]
    names = [line.split()[0] for line in out.splitlines()]
    assert names[:4] == ["name", "v4", "v5e", "v5p"]
    assert "v5e           9       1 to 256   ct5lp-hightpu-1t and 2 more      v5e-8" in out.splitlines()
    code, out, _ = run(capsys, "slices v4-32 --json")
    shape = json.loads(out)
    assert (shape["hosts"], shape["chips"], shape["topology"], shape["machine"]) == (
        4,
        16,
        "2x2x4",
        "ct4p-hightpu-4t",
    )
    assert run(capsys, "slices trillium") == run(capsys, "slices v6e")
    code, out, _ = run(capsys, "slices v5e --json")
    assert [s["name"] for s in json.loads(out)][:4] == ["v5e-1", "v5e-4", "v5e-8", "v5e-8-1"]


@pytest.mark.parametrize(
    "line", ["", "--help", "render --help", "local --help", "slices --help", "--version"]
)
def test_help(capsys, line):
    code, out, err = run(capsys, line)
    assert (code, err) == (0, [])
    assert "resnet-launch" in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_bug_is_one_line_and_a_traceback_only_with_debug(capsys, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("launcher.cli.verbs.render.render", fail)
    code, _, err = run(capsys, RENDER)
    assert (code, err[0]) == (4, "error: this is a bug in resnet-launch: ZeroDivisionError: by design")
    with pytest.raises(ZeroDivisionError):
        main([*RENDER.split(), "--debug"])


@pytest.mark.parametrize(
    ("line", "completion"),
    [
        ("resnet-launch --slice v4-3", "plain,v4-32"),
        ("resnet-launch render --slice h100-me", "plain,h100-mega-8"),
        ("resnet-launch render --arch resnet1", "plain,resnet152"),
        ("resnet-launch --data dig", "plain,digits"),
        ("resnet-launch rend", "plain,render"),
        ("resnet-launch local --max", "plain,--max-restarts"),
    ],
)
def test_completion(capsys, monkeypatch, line, completion):
    monkeypatch.setenv("_RESNET_LAUNCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    code, out, err = run(capsys, "")
    assert (code, err) == (0, [])
    assert completion in out.splitlines()
