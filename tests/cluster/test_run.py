"""A whole run on real pods: joined through the headless service, saved to the bucket, reproducible."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pod_runs import SHORT, TINY, Run
from testcluster import Cluster


def test_two_pods_train_to_completion_and_keep_their_run_in_the_bucket(undisturbed: Run) -> None:
    status = undisturbed.status()
    assert (status["phase"], status["hosts"], status["restarts"]["total"]) == ("Completed", 2, 0)
    assert status["run_dir"] == f"{undisturbed.bucket}/undisturbed"
    assert [step for step, _ in undisturbed.losses()] == list(range(1, 241))
    assert json.loads(undisturbed.read("config.json"))["train"]["batch"] == 32
    # The two latest; the best is among them, since only the last was evaluated.
    committed = [name for name in undisturbed.objects("checkpoints/") if name.count("/") == 2]
    assert sorted(name for name in committed if name.endswith("commit_success.txt")) == [
        "checkpoints/220/commit_success.txt",
        "checkpoints/240/commit_success.txt",
    ]
    [evaluated] = undisturbed.rows("evaluate")
    assert (evaluated["step"], evaluated["examples"]) == (240, 360)


def test_the_same_seed_gives_the_same_losses_bit_for_bit(
    cluster: Cluster, namespace: str, undisturbed: Run
) -> None:
    again = Run(cluster, namespace, "again", f"{TINY} {SHORT}")
    assert again.wait() == "Completed", again.report()
    assert again.losses() == undisturbed.losses()
    assert again.rows("evaluate") == undisturbed.rows("evaluate")


def test_a_prometheus_server_can_read_the_figures_of_a_run(cluster: Cluster, namespace: str) -> None:
    """The API server reaches the metrics port from outside the pod, as a scraper does."""
    run = Run(cluster, namespace, "scraped", f"{TINY} --steps 100000 --set log.metrics_port=9400 --grace 5")
    run.reach("progress step=20 ")
    path = f"/api/v1/namespaces/{namespace}/pods/{run.pod(0)}:9400/proxy/metrics"
    metrics = dict(line.split() for line in cluster.api.text(path).splitlines() if line[0] != "#")
    assert float(metrics["resnet_step"]) >= 20
    assert float(metrics["resnet_steps"]) == 100000
    labels = run.pods()[0]["metadata"]["labels"]
    first = ("jobset.sigs.k8s.io/job-index", "batch.kubernetes.io/job-completion-index")
    assert [labels[name] for name in first] == [
        "0",
        "0",
    ]  # the labels by which the platform chart's monitors select
    run.delete()


def test_two_slices_are_one_job_of_the_same_arithmetic(
    cluster: Cluster, namespace: str, undisturbed: Run
) -> None:
    """Two slices of one host see the batches of one slice of two hosts, and add up in the same order."""
    slices = Run(cluster, namespace, "slices", f"--num-slices 2 {TINY} {SHORT}", "cpu-1x1")
    assert slices.wait() == "Completed", slices.report()
    assert [pod["metadata"]["labels"]["jobset.sigs.k8s.io/job-index"] for pod in slices.pods()] == ["0", "1"]
    assert slices.losses() == undisturbed.losses()


def test_a_bigger_network_reaches_the_accuracy_of_local_processes(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """More than 92 % of the digits after 8 epochs. Another version of JAX rounds differently.

    94.7 % with the image's JAX and 96.4 % with that of Python 3.11 were measured.
    """
    flags = "--arch resnet18 --data digits --set model.width=16 --epochs 8 --set log.every_steps=1 --grace 10"
    run = Run(cluster, namespace, "digits", flags)
    assert run.wait(10) == "Completed", run.report()
    accuracy = run.rows("evaluate")[-1]["accuracy"]
    assert accuracy >= 0.92, run.report()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_"))}
    arguments = [*flags.split()[:-2], "--slice", "cpu-2x1", "--run-dir", str(tmp_path / "digits")]
    arguments += ["--name", "digits", "--set", "log.wandb=off"]
    command = [sys.executable, "-m", "launcher", "local", *arguments]
    local = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert local.returncode == 0, local.stderr
    rows = [json.loads(line) for line in (tmp_path / "digits" / "metrics.jsonl").read_text().splitlines()]
    here = [row["accuracy"] for row in rows if row["kind"] == "evaluate"][-1]
    assert here == pytest.approx(accuracy, abs=0.04)
