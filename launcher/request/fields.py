"""The fields of a request, and the properties that follow from them.

Each field is a flag, a key of resnet-launch.yaml, an environment variable and an argument of TrainingJob. Its
reader checks its own value; the rules between fields are in rules.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.hardware import slices
from launcher.hardware.slices import Slice
from launcher.request import (
    custom_slices,
    env_files,
    fabric_names,
    kubernetes_names,
    mounts,
    node_choice,
    notify,
    packed_code,
    precedence,
    program,
    readers,
    reservations,
    trainer_settings,
)
from launcher.request import exit_codes as codes


def option(read: readers.Reader, text: str, metavar: str, group: str = "Run", default: Any = None) -> Any:
    """Return a dataclass field with its reader, its help text, its metavar and its heading in `--help`.

    The metavar is empty for a switch.
    """
    metadata = {"read": read, "help": text, "metavar": metavar, "group": group}
    return dataclasses.field(default=default, metadata=metadata)


ENV = readers.pairs(kubernetes_names.env, readers.any_text, "NAME=VALUE")
SECRETS = readers.pairs(kubernetes_names.env, kubernetes_names.secret, "NAME=SECRET/KEY")
LABELS = readers.pairs(kubernetes_names.key, kubernetes_names.label_value, "KEY=VALUE")
ANNOTATIONS = readers.pairs(kubernetes_names.key, readers.any_text, "KEY=VALUE")


# TrainingJob generates the methods: doing it twice would cost each start some milliseconds.
@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class Fields:
    """All fields of a request; TrainingJob checks them and fills in those that were left out."""

    slice: str = option(readers.text, "hardware of one slice; `resnet-launch slices` lists all", "SLICE")
    custom_slice: Mapping[str, Any] | None = option(
        custom_slices.read,
        "facts of a slice that the catalogue lacks, with --slice custom: accelerator, topology, "
        "chips-per-host, hosts, machine, resource",
        "NAME=VALUE,…",
    )
    num_slices: int = option(readers.integer(1, 4096), "number of slices to train on", "N", default=1)
    arch: str | None = option(
        trainer_settings.known("archs", "a network"),
        "network to train: a name or package.module:name",
        "ARCH",
    )
    command: tuple[str, ...] | None = option(
        program.command,
        "program of your own to run instead of the trainer, split as a shell splits it; needs --name",
        "COMMAND",
    )
    workdir: str | None = option(
        program.workdir, "directory in which the command starts; the image's if not given", "DIR"
    )
    exit_codes: Mapping[str, tuple[int, ...]] | None = option(
        codes.read,
        "meaning of the command's exit codes: preempted, retry, fatal, hung; the trainer's if not given",
        "NAME=CODE,…",
    )
    name: str = option(kubernetes_names.run, "name of the run; ARCH-SLICE if not given", "NAME")
    recipe: str | None = option(
        trainer_settings.recipe, "training recipe: a name, FILE.yaml or package.module", "RECIPE"
    )
    data: str | None = option(
        trainer_settings.dataset,
        "dataset: a name, gs://…, a path that the pods see, or package.module:name",
        "DATA",
    )
    batch: int | None = option(readers.integer(1), "examples per step, over all devices", "N")
    epochs: float | None = option(readers.positive, "passes over the training data", "N")
    steps: int | None = option(readers.integer(1), "steps of the run, instead of epochs", "N")
    seed: int | None = option(readers.integer(0), "seed of parameters, data order and augmentation", "N")
    set: tuple[str, ...] = option(
        readers.many(trainer_settings.setting),
        "any other setting of the trainer; `resnet-launch config --train` lists all",
        "FIELD=VALUE",
        default=(),
    )
    args: tuple[str, ...] = option(
        trainer_settings.arguments, "arguments for the trainer, after --", "", default=()
    )
    code: packed_code.PackedCode | None = option(  # noqa: RUF009 - it returns a field, as for the others
        packed_code.read,
        "directory of your own code for the pods: what git tracks there, or what .dockerignore leaves",
        "DIR",
    )
    bucket: str | None = option(
        kubernetes_names.bucket, "bucket that keeps the run, in gs://BUCKET/NAME", "BUCKET"
    )
    run_dir: str = option(
        kubernetes_names.directory,
        "directory that keeps the run, instead of one in the bucket: gs://… or a mounted directory",
        "DIR",
    )

    image: str = option(
        kubernetes_names.image,
        "container image; resnet-launch:VERSION-KIND if not given; a tag may be moved, NAME@sha256:… may not",
        "IMAGE",
        "Pod",
    )
    code_image: str | None = option(
        kubernetes_names.image,
        "image that unpacks --code; the run's if not given, where that image has this project's trainer",
        "IMAGE",
        "Pod",
    )
    image_pull_secret: tuple[str, ...] = option(
        readers.many(kubernetes_names.subdomain),
        "Secret with which the nodes pull the image",
        "SECRET",
        "Pod",
        (),
    )
    image_pull_policy: str | None = option(
        readers.one_of("Always", "IfNotPresent", "Never"),
        "when nodes pull the image: Always, IfNotPresent or Never",
        "POLICY",
        "Pod",
    )
    namespace: str | None = option(
        kubernetes_names.namespace, "namespace of the run; the context's if not given", "NAME", "Pod"
    )
    service_account: str | None = option(
        kubernetes_names.subdomain, "Kubernetes service account of the pods", "NAME", "Pod"
    )
    env_file: tuple[Mapping[str, str], ...] = option(
        env_files.read_all,
        "file of NAME=VALUE lines with environment variables of the pods; --env wins",
        "FILE",
        "Pod",
        (),
    )
    env: Mapping[str, str] = option(ENV, "environment variable of the pods", "NAME=VALUE", "Pod", ())
    secret_env: Mapping[str, tuple[str, str]] = option(
        SECRETS, "environment variable of the pods, from a Secret", "NAME=SECRET/KEY", "Pod", ()
    )
    notify: tuple[str, str] | None = option(
        notify.read,
        "Secret with the URL that gets a message when the run ends, fails or is restarted: Slack, or JSON",
        "SECRET/KEY",
        "Pod",
    )
    mount: tuple[mounts.Mount, ...] = option(
        readers.many(mounts.mount),
        "mount pvc/NAME, gcs/BUCKET, host/DIR or ssd at PATH; with :ro read-only",
        "SOURCE:PATH[:ro]",
        "Pod",
        (),
    )
    label: Mapping[str, str] = option(LABELS, "label of the JobSet and its pods", "KEY=VALUE", "Pod", ())
    annotation: Mapping[str, str] = option(
        ANNOTATIONS, "annotation of the JobSet and its pods", "KEY=VALUE", "Pod", ()
    )
    cpu: str | None = option(kubernetes_names.quantity, "CPUs requested by each pod", "QUANTITY", "Pod")
    cpu_limit: str | None = option(
        kubernetes_names.quantity, "most CPUs that each pod may use", "QUANTITY", "Pod"
    )
    memory: str | None = option(
        kubernetes_names.quantity, "memory of each pod, as request and limit", "QUANTITY", "Pod"
    )
    memory_limit: str | None = option(
        kubernetes_names.quantity, "limit of each pod's memory, where it is above --memory", "QUANTITY", "Pod"
    )
    ephemeral_storage: str | None = option(
        kubernetes_names.quantity,
        "disk of the node for each pod's logs and temporary files, as request and limit",
        "QUANTITY",
        "Pod",
    )
    shm: str | None = option(
        kubernetes_names.quantity,
        "largest size of /dev/shm; its content counts as memory of the pod",
        "QUANTITY",
        "Pod",
    )
    priority_class: str | None = option(
        kubernetes_names.subdomain,
        "PriorityClass of the pods, for the scheduler; --priority is Kueue's",
        "NAME",
        "Pod",
    )
    scheduler: str | None = option(
        kubernetes_names.subdomain, "scheduler of the pods; the cluster's default if not given", "NAME", "Pod"
    )
    host_network: bool = option(readers.flag, "use the network of the node", "", "Pod", False)
    network_policy: bool = option(
        readers.flag, "let only the run's own pods reach its pods (NetworkPolicy)", "", "Pod", False
    )
    tuning: str = option(
        readers.one_of("none", "published"),
        "published: settings for speed that vendors publish, as far as a pod can set them; or none",
        "PROFILE",
        "Pod",
        "none",
    )
    grace: int = option(
        readers.seconds,
        "time to save after SIGTERM; 5m if not given, 25s on spot nodes",
        "DURATION",
        "Pod",
    )

    platform: str = option(
        readers.one_of("gke", "generic", "local"),
        "kind of nodes: gke or generic",
        "PLATFORM",
        "Nodes",
        "gke",
    )
    node_selector: Mapping[str, str] = option(
        LABELS, "label that the nodes must have", "KEY=VALUE", "Nodes", ()
    )
    node_affinity: tuple[node_choice.Choice, ...] = option(
        readers.many(node_choice.read),
        "label that the nodes must have, with one of several values",
        "KEY=VALUE|VALUE",
        "Nodes",
        (),
    )
    toleration: tuple[Mapping[str, str], ...] = option(
        readers.many(kubernetes_names.toleration),
        "taint that the nodes may have",
        "KEY[=VALUE][:EFFECT]",
        "Nodes",
        (),
    )
    gpu_resource: str | None = option(
        kubernetes_names.key, "resource name of the GPUs on a generic platform", "NAME", "Nodes"
    )
    fabric: str = option(
        fabric_names.read,
        "network between GPU hosts: auto (the machine's on GKE), dranet (the same cards by claim), efa, "
        "ib or roce elsewhere, none",
        "NAME",
        "Nodes",
        fabric_names.AUTO,
    )
    fabric_resource: Mapping[str, int | str] = option(
        fabric_names.read_resources,
        "resource of each host for --fabric efa, ib or roce, in place of its usual one",
        "NAME=N",
        "Nodes",
        (),
    )
    spot: bool = option(readers.flag, "use spot capacity", "", "Nodes", False)
    reservation: str | None = option(
        reservations.read,
        "reservation to take the nodes from: NAME, or the path with its project, block and subblock",
        "NAME",
        "Nodes",
    )
    compute_class: str | None = option(
        kubernetes_names.label_value, "ComputeClass that makes the nodes (GKE)", "NAME", "Nodes"
    )
    flex: int | None = option(
        readers.seconds, "use flex-start capacity for this long, at most 7d", "DURATION", "Nodes"
    )
    placement_policy: str | None = option(
        kubernetes_names.label_value,
        "workload policy of the node pool, for multi-host tpu7x",
        "NAME",
        "Nodes",
    )

    queue: str | None = option(kubernetes_names.short, "local queue of Kueue", "NAME", "Queue")
    priority: str | None = option(kubernetes_names.short, "workload priority class of Kueue", "NAME", "Queue")
    topology_required: str | None = option(
        kubernetes_names.key, "node label that all pods of a slice must share (Kueue)", "LABEL", "Queue"
    )
    topology_preferred: str | None = option(
        kubernetes_names.key, "node label that all pods of a slice should share (Kueue)", "LABEL", "Queue"
    )
    kueue_version: tuple[int, int] | None = option(
        kubernetes_names.version,
        "version of Kueue in the cluster; if not given, submit reads it and render takes the newest",
        "VERSION",
        "Queue",
    )

    max_restarts: int = option(
        readers.integer(0, 1000), "restarts after failures; preemptions do not count", "N", "Lifetime", 10
    )
    deadline: int | None = option(readers.duration, "longest duration of one attempt", "DURATION", "Lifetime")
    ttl: int | None = option(
        readers.seconds, "time after which a finished run is deleted", "DURATION", "Lifetime"
    )
    jobset_version: tuple[int, int] | None = option(
        kubernetes_names.version,
        "version of JobSet in the cluster; the newest if not given",
        "VERSION",
        "Lifetime",
    )
    patch: tuple[Mapping[str, Any], ...] = option(
        readers.mappings,
        "strategic merge patch of the JobSet, applied last; several in this order",
        "FILE",
        "Lifetime",
        (),
    )

    @property
    def shape(self) -> Slice:
        """The slice that `slice` names."""
        if self.custom_slice is not None:
            return custom_slices.shape(self.slice, self.custom_slice)
        return slices.parse(self.slice)

    @property
    def hosts(self) -> int:
        """Number of hosts, pods and processes, over all slices."""
        return self.num_slices * self.shape.hosts

    @property
    def devices(self) -> int:
        """Devices that `jax.device_count()` counts in the run, over all slices."""
        return self.num_slices * self.shape.devices

    @property
    def group(self) -> int:
        """Devices that share one copy of the network: the setting mesh.model."""
        return 1 if self.command else int(self.requested.get("mesh.model", 1))

    @property
    def kept(self) -> bool:
        """Whether checkpoints and metrics outlive the pods."""
        return not self.run_dir.startswith(f"{mounts.SCRATCH}/")

    @property
    def trainer_arguments(self) -> list[precedence.Argument]:
        """Flags of the trainer and their values, in the order of the pods' command."""
        if self.command:
            return []
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
        # Without a bucket each host would save to its own disk, and none could restore the others' shards.
        unsaved = ["checkpoint.enabled=false"] if self.hosts > 1 and not self.kept else []
        sets = [("--set", setting) for setting in (*unsaved, *self.set)]
        return [*flags, *sets, *zip(self.args[::2], self.args[1::2], strict=True)]

    @property
    def requested(self) -> Mapping[str, precedence.Value]:
        """Settings that the pods' command names, as `section.field` -> value."""
        return precedence.requested(self.trainer_arguments)

    @property
    def settings(self) -> Mapping[str, precedence.Value]:
        """All settings of the run; defaults are overridden by the recipe, then by flags, then by `--set`.

        A program of the user's own has none.
        """
        return {} if self.command else precedence.resolve(self.trainer_arguments)

    @property
    def used_recipe(self) -> str:
        """The recipe of the run: the one that is named, or the dataset's."""
        return precedence.recipe(self.trainer_arguments)

    @property
    def recipe_settings(self) -> Mapping[str, precedence.Value] | None:
        """Settings of the recipe; None where it is a module, which only the pods can read."""
        return precedence.recipe_settings(self.used_recipe)

    def jobset_at_least(self, major: int, minor: int) -> bool:
        """Whether the cluster's JobSet has at least this version; without `jobset_version` it does."""
        return self.jobset_version is None or self.jobset_version >= (major, minor)
