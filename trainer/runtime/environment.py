"""The environment variables that a pod is given, declared once."""

import enum


class Variable(enum.StrEnum):
    """A variable that the trainer reads; `make generate` tells the launcher."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> "Variable":
        self = str.__new__(cls, name)
        self._value_, self.meaning = name, meaning
        return self

    PLATFORM = "RESNET_PLATFORM", "cpu, gpu or tpu; without it the process was started by hand, alone"
    DEVICES = "RESNET_DEVICES", "devices of the run, over all hosts: it refuses to run on another number"
    HOSTS = "RESNET_HOSTS", "processes of the run"
    SLICES = "RESNET_SLICES", "slices of the run"
    RESTART = "RESNET_RESTART", "restarts of the run before this attempt"
    OWNER = "RESNET_OWNER", "identity of the submission, which alone may write to the run directory"
    POD = "RESNET_POD", "name of the pod"
    COORDINATOR = "RESNET_COORDINATOR", "host:port of process 0; not on TPU"
    HOSTS_PER_SLICE = "RESNET_HOSTS_PER_SLICE", "processes of one slice; not on TPU"
    SLICE_INDEX = "RESNET_SLICE_INDEX", "number of this process's slice, from 0; not on TPU"
    COMPLETION_INDEX = (
        "JOB_COMPLETION_INDEX",
        "number of this process in its slice, from 0; by Kubernetes",
    )
    PROGRAM = "RESNET_PROGRAM", "what people typed to get to trainer.data, for its help"
