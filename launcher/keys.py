"""Every label, annotation and resource name the launcher writes or reads."""

# Accelerators, as the device plugins name them.
TPU = "google.com/tpu"  # chips; a pod must ask for all of its VM
GPU = "nvidia.com/gpu"  # GPUs

# Node labels of GKE, used as selectors.
TPU_ACCELERATOR = "cloud.google.com/gke-tpu-accelerator"  # TPU generation of the pool
TPU_TOPOLOGY = "cloud.google.com/gke-tpu-topology"  # shape of the pool's slice
GPU_ACCELERATOR = "cloud.google.com/gke-accelerator"  # GPU model of the pool
NODEPOOL = "cloud.google.com/gke-nodepool"  # one multi-host pool is one slice
INSTANCE_TYPE = "node.kubernetes.io/instance-type"  # machine type of the VM
ARCH = "kubernetes.io/arch"  # amd64 or arm64, also the key of the taint on arm64 nodes

# Kubernetes and JobSet.
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"  # host within the slice
NAME = "app.kubernetes.io/name"  # always APP: selects everything the launcher made
INSTANCE = "app.kubernetes.io/instance"  # the run
MANAGED_BY = "app.kubernetes.io/managed-by"  # always APP
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"  # JobSet a pod belongs to
JOBSET_UID = "jobset.sigs.k8s.io/jobset-uid"  # identity of one submission (JobSet 0.10 and newer)
REPLICATED_JOB = "jobset.sigs.k8s.io/replicatedjob-name"  # group of jobs within the JobSet
JOB_INDEX = "jobset.sigs.k8s.io/job-index"  # slice within the run
RESTART_ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"  # restarts of the run so far
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"  # one slice a domain of this node label

# Ours.
APP = "resnet-launch"
ARCH_NAME = "resnet-launch/arch"  # network, on the JobSet
SLICE_NAME = "resnet-launch/slice"  # slice as the request spelled it, on the JobSet
RUN_DIR = "resnet-launch/run-dir"  # where checkpoints and metrics go, on the JobSet
