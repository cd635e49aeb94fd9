"""The newest metrics of a run for Prometheus, on port ``log.metrics_port`` of the first host."""

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from trainer.metrics.display import Display
from trainer.runtime.messages import warn

PROGRESS = {
    "step": ("resnet_step", "Steps done"),
    "steps": ("resnet_steps", "Steps of the whole run"),
    "epoch": ("resnet_epoch", "Epochs done"),
    "loss": ("resnet_loss", "Training loss of the newest logged step"),
    "lr": ("resnet_learning_rate", "Learning rate"),
    "images_per_second": ("resnet_images_per_second", "Training throughput in images/s, over all devices"),
    "predicted": ("resnet_predicted_images_per_second", "Predicted throughput in images/s, over all devices"),
    "data_wait": ("resnet_data_wait_ratio", "Fraction of the time spent waiting for data, 0 to 1"),
    "mfu": ("resnet_mfu_ratio", "FLOP/s as a fraction of the devices' bfloat16 peak, 0 to 1"),
    "hbm": ("resnet_hbm_ratio", "Fraction of the devices' peak memory bandwidth, 0 to 1"),
    "eta_seconds": ("resnet_eta_seconds", "Time left in seconds at the newest throughput"),
}
EVALUATION = {
    "accuracy": ("resnet_eval_accuracy", "Accuracy of the newest evaluation, 0 to 1"),
    "loss": ("resnet_eval_loss", "Loss of the newest evaluation"),
}
EVENTS = {  # event name -> the gauge of its step
    "save": ("resnet_saved_step", "Step of the newest save that has begun"),
    "restore": ("resnet_restored_step", "Step at which this attempt began"),
}


class Exporter:
    """A display that serves its rows to Prometheus and passes them on to another display.

    A gauge appears with its first value, so there is no loss of 0 before the first step.

    Args:
      display: display for people.
      port: HTTP port; if it is taken, the run goes on with a warning.
      address: address to listen on.
    """

    def __init__(self, display: Display, port: int, address: str = "0.0.0.0"):
        self._display = display
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._server = None
        try:
            self._server, self._thread = start_http_server(port, address, self._registry)
            self.port = self._server.server_port
        except (OSError, OverflowError) as error:
            warn(f"log.metrics_port: must be a free port, got {port}: {error}; nothing can be scraped")

    def event(self, row: dict[str, Any]) -> None:
        self._display.event(row)
        if row["name"] in EVENTS:
            self._set({row["name"]: row["step"]}, EVENTS)

    def progress(self, row: dict[str, Any]) -> None:
        self._display.progress(row)
        self._set(row, PROGRESS)

    def evaluating(self, done: int, total: int) -> None:
        self._display.evaluating(done, total)

    def evaluation(self, row: dict[str, Any]) -> None:
        self._display.evaluation(row)
        self._set(row, EVALUATION)

    def close(self) -> None:
        self._display.close()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _set(self, row: dict[str, Any], names: dict[str, tuple[str, str]]) -> None:
        for key in names.keys() & row.keys():
            name, meaning = names[key]
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, meaning, registry=self._registry)
            self._gauges[name].set(row[key])
