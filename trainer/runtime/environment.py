"""The environment variables that the trainer reads, declared once."""

import enum


class Variable(enum.StrEnum):
    """An environment variable; `make generate` copies all of them to contract.json for the launcher."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> "Variable":
        self = str.__new__(cls, name)
        self._value_, self.meaning = name, meaning
        return self

    PLATFORM = (
        "RESNET_PLATFORM",
        "cpu, gpu or tpu; unset in a process that was started by hand and runs alone",
    )
    DEVICES = (
        "RESNET_DEVICES",
        "devices of the run, over all hosts; the trainer refuses any other number",
    )
    HOSTS = "RESNET_HOSTS", "hosts of the run, one process on each"
    SLICES = "RESNET_SLICES", "slices of the run"
    RESTART = "RESNET_RESTART", "restarts of the run before this attempt"
    OWNER = (
        "RESNET_OWNER",
        "identity of the submission; a run directory in use by another is refused",
    )
    POD = "RESNET_POD", "name of the pod"
    RUN_DIR = (
        "RESNET_RUN_DIR",
        "directory that keeps the run, for a program of `--command`; the trainer has `--run-dir`",
    )
    COORDINATOR = "RESNET_COORDINATOR", "host:port of process 0; not on TPU"
    HOSTS_PER_SLICE = "RESNET_HOSTS_PER_SLICE", "hosts per slice; not on TPU"
    SLICE_INDEX = "RESNET_SLICE_INDEX", "index of this process's slice, from 0; not on TPU"
    COMPLETION_INDEX = (
        "JOB_COMPLETION_INDEX",
        "index of this process in its slice, from 0; set by Kubernetes",
    )
    CODE = (
        "RESNET_CODE",
        "digest, commit and state of the code that --code packed, as JSON; recorded with each attempt",
    )
    NOTIFY = (
        "RESNET_NOTIFY_URL",
        "URL that the first host sends a message to when the run ends, fails or is restarted; "
        "from the Secret of --notify",
    )
    MAX_RESTARTS = "RESNET_MAX_RESTARTS", "restarts after which a failure is final; with --notify"
    PROGRAM = (
        "RESNET_PROGRAM",
        "the command that started trainer.data, such as `resnet-launch data`, shown in its help",
    )
    CACHE = (
        "RESNET_CACHE",
        "folder of what `check` computed and of shards copied from a bucket; "
        "$XDG_CACHE_HOME/resnet-launch if not set",
    )
