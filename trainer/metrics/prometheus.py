"""The newest figures of a run for a Prometheus server, on the first host's port ``log.metrics_port``."""

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
    "images_per_second": ("resnet_images_per_second", "Training images a second, whole job"),
    "data_wait": ("resnet_data_wait_ratio", "Share of the time spent waiting for data, 0 to 1"),
    "mfu": ("resnet_mfu_ratio", "Share of the devices' peak of bfloat16 operations, 0 to 1"),
    "hbm": ("resnet_hbm_ratio", "Share of the devices' peak of memory bandwidth, 0 to 1"),
    "eta_seconds": ("resnet_eta_seconds", "Seconds to the end at the newest rate"),
}
EVALUATION = {
    "accuracy": ("resnet_eval_accuracy", "Accuracy of the newest evaluation, 0 to 1"),
    "loss": ("resnet_eval_loss", "Loss of the newest evaluation"),
}
EVENTS = {  # by name; what is told of one is its step
    "save": ("resnet_saved_step", "Step of the newest checkpoint that was begun"),
    "restore": ("resnet_restored_step", "Step that this attempt began at"),
}


class Exposition:
    """A display that shows a Prometheus server what the display within it shows to people.

    A figure appears once it is known: no loss of 0 before the first step.

    Args:
      port: of HTTP, on every address of the pod. One that is taken is warned of, and the run goes on.
    """

    def __init__(self, within: Display, port: int, address: str = "0.0.0.0"):
        self._within = within
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._server = None
        try:
            self._server, self._thread = start_http_server(port, address, self._registry)
            self.port = self._server.server_port
        except (OSError, OverflowError) as error:
            warn(f"log.metrics_port: must be a free port, got {port}: {error}; nothing can be scraped")

    def event(self, row: dict[str, Any]) -> None:
        self._within.event(row)
        if row["name"] in EVENTS:
            self._tell({row["name"]: row["step"]}, EVENTS)

    def progress(self, row: dict[str, Any]) -> None:
        self._within.progress(row)
        self._tell(row, PROGRESS)

    def evaluation(self, row: dict[str, Any]) -> None:
        self._within.evaluation(row)
        self._tell(row, EVALUATION)

    def close(self) -> None:
        self._within.close()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _tell(self, row: dict[str, Any], names: dict[str, tuple[str, str]]) -> None:
        for key in names.keys() & row.keys():
            name, meaning = names[key]
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, meaning, registry=self._registry)
            self._gauges[name].set(row[key])
