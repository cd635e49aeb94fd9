"""Buckets of other stores than Cloud Storage are refused with the reason, in every field of a place."""

import pytest

from launcher import TrainingJob
from launcher.cli import main
from launcher.errors import RequestError


@pytest.mark.parametrize("scheme", ["s3", "S3", "abfs", "hdfs", "https"])
@pytest.mark.parametrize("field", ["bucket", "run_dir", "data"])
def test_refused(field, scheme):
    with pytest.raises(RequestError) as caught:
        TrainingJob(slice="v4-32", arch="resnet50", **{field: f"{scheme}://my-bucket/x"})
    [problem] = caught.value.problems
    assert problem.field == field.replace("_", "-")
    store = f"the trainer reads and locks no {scheme.lower()}:// bucket"
    assert problem.message == f"must be gs://… or a mounted directory: {store}, got '{scheme}://my-bucket/x'"
    assert problem.hint.startswith("mount it by its CSI driver, as in --mount pvc/CLAIM:/store")


@pytest.mark.parametrize("verb", ["render", "check --no-cluster", "diff", "submit"])
def test_every_verb(verb, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    flags = ["--slice", "v4-32", "--arch", "resnet50", "--run-dir", "s3://b/x"]
    assert main([*verb.split(), *flags]) in (1, 2)  # 1: there is no cluster, which is asked first
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == 1
    if verb in ("render", "check --no-cluster"):
        assert "run-dir: must be gs://… or a mounted directory" in captured.err


def test_local(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flags = ["--slice", "cpu-1x1", "--arch", "resnet18", "--run-dir", "s3://b/x"]
    assert main(["local", *flags]) == 2
    assert "run-dir: must be a path of this machine or gs://…, got 's3://b/x'" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
