"""All labels, annotations and resource names that the launcher writes or reads."""

# Accelerators, as the device plugins name them.
TPU = "google.com/tpu"  # chips; a pod must request all chips of its VM
GPU = "nvidia.com/gpu"  # GPUs

# Node labels of GKE, used as selectors.
TPU_ACCELERATOR = "cloud.google.com/gke-tpu-accelerator"  # TPU generation of the pool
TPU_TOPOLOGY = "cloud.google.com/gke-tpu-topology"  # shape of the pool's slice
GPU_ACCELERATOR = "cloud.google.com/gke-accelerator"  # GPU model of the pool
NODEPOOL = "cloud.google.com/gke-nodepool"  # one multi-host pool is one slice
INSTANCE_TYPE = "node.kubernetes.io/instance-type"  # machine type of the VM
ACCELERATOR_COUNT = "cloud.google.com/gke-accelerator-count"  # accelerators of the VM
ARCH = "kubernetes.io/arch"  # amd64 or arm64, also the key of the taint on arm64 nodes

# Kubernetes and JobSet.
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"  # host within the slice
NAME = "app.kubernetes.io/name"  # always APP: selects everything the launcher created
INSTANCE = "app.kubernetes.io/instance"  # name of the run
MANAGED_BY = "app.kubernetes.io/managed-by"  # always APP
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"  # JobSet a pod belongs to
JOBSET_UID = "jobset.sigs.k8s.io/jobset-uid"  # identity of one submission (JobSet 0.10 and newer)
REPLICATED_JOB = "jobset.sigs.k8s.io/replicatedjob-name"  # group of jobs within the JobSet
JOB_KEY = "jobset.sigs.k8s.io/job-key"  # the same for the pods of one slice, and for no others
JOB_INDEX = "jobset.sigs.k8s.io/job-index"  # slice within the run
RESTART_ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"  # restarts of the run so far
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"  # one slice per domain of this node label

# Kinds of capacity on GKE: node labels, and keys of the taints on such nodes.
SPOT = "cloud.google.com/gke-spot"  # may be reclaimed with 30 s of notice
FLEX_START = "cloud.google.com/gke-flex-start"  # waits for capacity, lives for at most seven days
QUEUED = "cloud.google.com/gke-queued"  # taint of nodes from queued provisioning: all or none
RESERVATION = "cloud.google.com/reservation-name"  # reservation that the nodes come from
RESERVATION_PROJECT = "cloud.google.com/reservation-project"  # project that shares the reservation
RESERVATION_BLOCK = "cloud.google.com/reservation-blocks"  # block of the reservation
RESERVATION_SUBBLOCK = "cloud.google.com/reservation-subblocks"  # subblock of that block
COMPUTE_CLASS = "cloud.google.com/compute-class"  # ComputeClass that makes the nodes
PLACEMENT_POLICY = "cloud.google.com/placement-policy-name"  # workload policy of the node pool
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"  # "false" keeps the autoscaler off a pod

# NVLink domains of racks such as NVL72: node labels.
SUBBLOCK = "cloud.google.com/gce-topology-subblock"  # on GKE
CLIQUE = "nvidia.com/gpu.clique"  # elsewhere, from NVIDIA's GPU feature discovery

# Networks between GPU hosts on GKE: pod annotations.
DEFAULT_INTERFACE = "networking.gke.io/default-interface"  # interface with the pod's own address
INTERFACES = "networking.gke.io/interfaces"  # JSON list of interface and Network object
CONTAINER_DEVICES = "devices.gke.io/container."  # + container name: devices of the node that it gets
GCS_FUSE = "gke-gcsfuse/volumes"  # "true" starts Cloud Storage FUSE beside the pod
EPHEMERAL_SSD = "cloud.google.com/gke-ephemeral-storage-local-ssd"  # nodes whose emptyDirs are local SSD

# Kueue.
QUEUE = "kueue.x-k8s.io/queue-name"  # local queue of the namespace
PRIORITY = "kueue.x-k8s.io/priority-class"  # WorkloadPriorityClass
REQUIRED_TOPOLOGY = "kueue.x-k8s.io/podset-required-topology"  # node label that all pods must share
PREFERRED_TOPOLOGY = "kueue.x-k8s.io/podset-preferred-topology"  # node label that pods share if possible
SLICE_TOPOLOGY = "kueue.x-k8s.io/podset-slice-required-topology"  # node label that pods of a slice must share
TOPOLOGY_SLICE_SIZE = "kueue.x-k8s.io/podset-slice-size"  # pods per slice
RUN_DURATION = "provreq.kueue.x-k8s.io/maxRunDurationSeconds"  # how long provisioned nodes live

# Ours.
APP = "resnet-launch"
ARCH_NAME = "resnet-launch/arch"  # network, on the JobSet
SLICE_NAME = "resnet-launch/slice"  # name of the slice, on the JobSet
EXIT_CODES = "resnet-launch/exit-codes"  # what exit codes mean, on JobSet and pods, with --exit-codes
RUN_DIR = "resnet-launch/run-dir"  # where checkpoints and metrics are written, on the JobSet
CODE = "resnet-launch/code"  # SHA-256 of the archive of --code, on the JobSet
COMMIT = "resnet-launch/commit"  # commit of that code, with -dirty where files differ, on the JobSet
SUBMITTED_BY = "resnet-launch/submitted-by"  # who submitted it, as the cluster knows them, on the JobSet
SUSPENDED = "resnet-launch/suspended"  # JSON of who suspended it, when, and how far it was, on the JobSet


# Keys by which a run, its pods and its policies are found. Nobody else sets them.
SELECTING = (NAME, INSTANCE, MANAGED_BY)
RESERVED = ("jobset.sigs.k8s.io/", "batch.kubernetes.io/", f"{APP}/")  # beginnings of such keys


def is_reserved(key: str) -> bool:
    """Return whether a label or annotation belongs to the launcher or to a controller that it relies on."""
    return key in SELECTING or key.startswith(RESERVED)


def labels(run: str) -> dict[str, str]:
    """Return the labels of every object of a run."""
    return {NAME: APP, INSTANCE: run, MANAGED_BY: APP}
