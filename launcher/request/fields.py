"""The fields of a request, and what follows from them alone.

Each field is at once a flag, a key of resnet-launch.yaml, an environment variable and an argument of
TrainingJob. Its reader says what it may hold; what holds between fields is in rules.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.hardware import slices
from launcher.hardware.slices import Slice
from launcher.request import kubernetes_names, mounts, precedence, readers, trainer_settings


def option(read: readers.Reader, text: str, metavar: str, group: str = "Run", default: Any = None) -> Any:
    """A field: its reader, its help, how a value is spelled (empty for a switch), the heading it is under."""
    metadata = {"read": read, "help": text, "metavar": metavar, "group": group}
    return dataclasses.field(default=default, metadata=metadata)


ENV = readers.pairs(kubernetes_names.env, readers.any_text, "NAME=VALUE")
SECRETS = readers.pairs(kubernetes_names.env, kubernetes_names.secret, "NAME=SECRET/KEY")
LABELS = readers.pairs(kubernetes_names.key, kubernetes_names.label_value, "KEY=VALUE")
ANNOTATIONS = readers.pairs(kubernetes_names.key, readers.any_text, "KEY=VALUE")


# TrainingJob generates the methods: doing it twice would cost each start some milliseconds.
@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Fields:
    """What can be asked for; TrainingJob checks it and fills in what was left out."""

    slice: str = option(readers.text, "hardware of one slice, see `resnet-launch slices`", "SLICE")
    num_slices: int = option(readers.integer(1, 4096), "slices trained on together", "N", default=1)
    arch: str = option(trainer_settings.known("archs", "a network"), "network to train", "ARCH")
    name: str = option(kubernetes_names.run, "name of the run; ARCH-SLICE if not given", "NAME")
    recipe: str | None = option(trainer_settings.known("recipes", "a recipe"), "training recipe", "RECIPE")
    data: str | None = option(
        trainer_settings.dataset, "dataset: a name, gs://… or a path that the pods see", "DATA"
    )
    batch: int | None = option(readers.integer(1), "examples of one step, over all devices", "N")
    epochs: float | None = option(readers.positive, "passes over the training data", "N")
    steps: int | None = option(readers.integer(1), "optimizer updates, instead of epochs", "N")
    seed: int | None = option(readers.integer(0), "of parameters, data order and augmentation", "N")
    set: tuple[str, ...] = option(
        readers.many(trainer_settings.setting), "any other setting of the trainer", "FIELD=VALUE", default=()
    )
    args: tuple[str, ...] = option(
        trainer_settings.arguments, "arguments of the trainer, after --", "", default=()
    )
    bucket: str | None = option(kubernetes_names.bucket, "runs are kept in gs://BUCKET/NAME", "BUCKET")
    run_dir: str = option(
        kubernetes_names.directory, "keep this run elsewhere: gs://… or a mounted directory", "DIR"
    )

    image: str = option(
        kubernetes_names.image, "container image; resnet-launch:VERSION-KIND if not given", "IMAGE", "Pod"
    )
    namespace: str | None = option(
        kubernetes_names.namespace, "namespace; the context's if not given", "NAME", "Pod"
    )
    service_account: str | None = option(
        kubernetes_names.subdomain, "Kubernetes service account", "NAME", "Pod"
    )
    env: Mapping[str, str] = option(ENV, "environment variable", "NAME=VALUE", "Pod", ())
    secret_env: Mapping[str, tuple[str, str]] = option(
        SECRETS, "environment variable from a Secret", "NAME=SECRET/KEY", "Pod", ()
    )
    mount: tuple[mounts.Mount, ...] = option(
        readers.many(mounts.mount),
        "pvc/NAME, gcs/BUCKET, host/DIR or ssd at a path",
        "SOURCE:PATH[:ro]",
        "Pod",
        (),
    )
    label: Mapping[str, str] = option(LABELS, "label of the JobSet and its pods", "KEY=VALUE", "Pod", ())
    annotation: Mapping[str, str] = option(
        ANNOTATIONS, "annotation of the JobSet and its pods", "KEY=VALUE", "Pod", ()
    )
    cpu: str | None = option(kubernetes_names.quantity, "CPUs requested by each pod", "QUANTITY", "Pod")
    memory: str | None = option(
        kubernetes_names.quantity, "memory of each pod, request and limit", "QUANTITY", "Pod"
    )
    host_network: bool = option(readers.flag, "share the network of the node", "", "Pod", False)
    grace: int = option(
        readers.seconds, "time to save after SIGTERM; 5m, on spot nodes 25s", "DURATION", "Pod"
    )

    platform: str = option(
        readers.one_of("gke", "generic", "local"),
        "what the nodes are: gke or generic",
        "PLATFORM",
        "Nodes",
        "gke",
    )
    node_selector: Mapping[str, str] = option(LABELS, "label the nodes must have", "KEY=VALUE", "Nodes", ())
    toleration: tuple[Mapping[str, str], ...] = option(
        readers.many(kubernetes_names.toleration),
        "taint the nodes may have",
        "KEY[=VALUE][:EFFECT]",
        "Nodes",
        (),
    )
    gpu_resource: str | None = option(
        kubernetes_names.key, "resource name of the GPUs, not on GKE", "NAME", "Nodes"
    )
    fabric: bool = option(readers.flag, "the GPU hosts' fast network", "", "Nodes", True)
    spot: bool = option(readers.flag, "spot capacity", "", "Nodes", False)
    reservation: str | None = option(kubernetes_names.label_value, "reserved capacity", "NAME", "Nodes")
    flex: int | None = option(
        readers.seconds, "flex-start capacity for so long, at most 7d", "DURATION", "Nodes"
    )
    placement_policy: str | None = option(
        kubernetes_names.label_value,
        "workload policy of the node pool, for multi-host tpu7x",
        "NAME",
        "Nodes",
    )

    queue: str | None = option(kubernetes_names.short, "Kueue local queue", "NAME", "Queue")
    priority: str | None = option(kubernetes_names.short, "Kueue workload priority class", "NAME", "Queue")
    topology_required: str | None = option(
        kubernetes_names.key, "node label all pods of a slice must share (Kueue)", "LABEL", "Queue"
    )
    topology_preferred: str | None = option(
        kubernetes_names.key, "node label all pods of a slice should share (Kueue)", "LABEL", "Queue"
    )

    max_restarts: int = option(
        readers.integer(0, 1000), "failures survived; maintenance is free", "N", "Lifetime", 10
    )
    deadline: int | None = option(readers.seconds, "longest time of one attempt", "DURATION", "Lifetime")
    ttl: int | None = option(readers.seconds, "delete the finished run after so long", "DURATION", "Lifetime")
    jobset_version: tuple[int, int] | None = option(
        kubernetes_names.version, "JobSet of the cluster; the newest if not given", "VERSION", "Lifetime"
    )
    patch: Mapping[str, Any] | None = option(
        readers.mapping, "strategic merge patch of the JobSet, applied last", "FILE", "Lifetime"
    )

    @property
    def shape(self) -> Slice:
        """The slice that the name stands for."""
        return slices.parse(self.slice)

    @property
    def hosts(self) -> int:
        """Hosts, pods and processes of all slices."""
        return self.num_slices * self.shape.hosts

    @property
    def devices(self) -> int:
        """What `jax.device_count()` says in the run."""
        return self.num_slices * self.shape.devices

    @property
    def kept(self) -> bool:
        """Whether checkpoints and metrics outlive the pods."""
        return not self.run_dir.startswith(f"{mounts.SCRATCH}/")

    @property
    def trainer_arguments(self) -> list[precedence.Argument]:
        """Flags of the trainer and their values, in the order in which the pods' command has them."""
        values = {
            "--arch": self.arch,
            "--recipe": self.recipe,
            "--data": self.data,
            "--batch": self.batch,
            "--epochs": self.epochs,
            "--steps": self.steps,
            "--seed": self.seed,
        }
        flags = [(flag, str(value)) for flag, value in values.items() if value is not None]
        # Without a bucket each host would save to its own disk and could not restore the others' shards.
        unsaved = ["checkpoint.enabled=false"] if self.hosts > 1 and not self.kept else []
        sets = [("--set", setting) for setting in (*unsaved, *self.set)]
        return [*flags, *sets, *zip(self.args[::2], self.args[1::2], strict=True)]

    @property
    def requested(self) -> Mapping[str, precedence.Value]:
        """The settings that the pods' command names, `section.field` -> value."""
        return precedence.requested(self.trainer_arguments)

    @property
    def settings(self) -> Mapping[str, precedence.Value]:
        """All settings that the run will have: defaults < recipe < flags < `--set`."""
        return precedence.resolve(self.trainer_arguments)

    def jobset_at_least(self, major: int, minor: int) -> bool:
        """Whether the cluster's JobSet is so new; a version that was not given is the newest."""
        return self.jobset_version is None or self.jobset_version >= (major, minor)
