"""What a Prometheus server reads of a run."""

import urllib.request

from trainer.metrics.display import Lines
from trainer.metrics.prometheus import Exporter


def scrape(port: int) -> dict[str, float]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if line[0] != "#")}


def test_a_figure_appears_once_it_is_known_and_follows_the_run(capsys):
    shown = Exporter(Lines(), 0, "127.0.0.1")
    try:
        assert scrape(shown.port) == {}
        shown.event({"name": "restore", "at": 1.0, "step": 40})
        shown.event({"name": "joined", "at": 1.0})
        shown.progress({"step": 41, "steps": 160, "epoch": 0.91, "loss": 2.25, "lr": 0.1})
        assert scrape(shown.port) == {
            "resnet_restored_step": 40,
            "resnet_step": 41,
            "resnet_steps": 160,
            "resnet_epoch": 0.91,
            "resnet_loss": 2.25,
            "resnet_learning_rate": 0.1,
        }
        shown.progress({"step": 50, "steps": 160, "loss": 2.0, "images_per_second": 512.5, "data_wait": 0.25})
        shown.evaluation({"step": 50, "accuracy": 0.75, "loss": 1.5, "examples": 360})
        gauges = scrape(shown.port)
    finally:
        shown.close()
    assert (gauges["resnet_step"], gauges["resnet_loss"]) == (50, 2.0)
    assert (gauges["resnet_images_per_second"], gauges["resnet_data_wait_ratio"]) == (512.5, 0.25)
    assert (gauges["resnet_eval_accuracy"], gauges["resnet_eval_loss"]) == (0.75, 1.5)
    assert capsys.readouterr().out.count("progress step=") == 2  # people see it as before


def test_a_port_that_is_taken_is_warned_of_and_the_run_goes_on(capsys):
    first = Exporter(Lines(), 0, "127.0.0.1")
    second = Exporter(Lines(), first.port, "127.0.0.1")
    second.progress({"step": 1, "steps": 2, "loss": 1.0, "lr": 0.1})
    second.close()
    first.close()
    captured = capsys.readouterr()
    assert captured.err.startswith(f"warning: log.metrics_port: must be a free port, got {first.port}: ")
    assert "progress step=1" in captured.out
