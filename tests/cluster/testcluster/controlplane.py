"""etcd, API server, controller manager and scheduler: one of each, with the flags a test cluster needs."""

import functools
import ssl
import urllib.request
from pathlib import Path

from testcluster.api import Api, Refused
from testcluster.build import binary
from testcluster.certificates import Authority, Pair
from testcluster.network import Wire
from testcluster.sandbox import Sandbox

ETCD = "http://127.0.0.1:2379"
API_PORT = 6443
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"  # the first of the range is the API server's own
ISSUER = "https://kubernetes.default.svc.cluster.local"


def healthy(url: str) -> bool:
    """Return whether `url` answers 200, whatever its certificate; raises OSError where nothing listens."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    handlers = urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
    with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
        return answer.status == 200


class ControlPlane:
    """The four programs of a Kubernetes without nodes, and the credentials of all other programs."""

    def __init__(self, sandbox: Sandbox, wire: Wire) -> None:
        self.sandbox = sandbox
        self.wire = wire
        self.authority = Authority(sandbox.folder / "certificates")
        self.url = f"https://{wire.node}:{API_PORT}"
        self.admin = self.authority.issue("admin", "admin", groups=["system:masters"])
        self.accounts = self.authority.issue("service-accounts", "service-accounts")  # signs their tokens
        self.kubeconfig = self.authority.kubeconfig(sandbox.folder / "kubeconfig", self.url, self.admin)
        self.api = Api(self.url, self.authority.pair, self.admin)

    def credentials(self, name: str, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for a program that runs in the sandbox as `user`."""
        pair = self.authority.issue(name, user, groups)
        return self.authority.kubeconfig(pair.folder / "kubeconfig", self.url, pair)

    def begin(self) -> None:
        """Start all four and wait until they are ready."""
        self._start_etcd()
        self.start_apiserver()
        self._start_manager()
        self._start_scheduler()
        for name, port in (("kube-controller-manager", 10257), ("kube-scheduler", 10259)):
            check = functools.partial(healthy, f"https://{self.wire.node}:{port}/healthz")
            self.sandbox.wait(name, check, errors=(OSError,))

    def _start_etcd(self) -> None:
        data = self.sandbox.folder / "etcd"
        options = [
            "--unsafe-no-fsync",
            "--listen-peer-urls=http://127.0.0.1:2380",
            f"--listen-client-urls={ETCD}",
        ]
        flags = [f"--data-dir={data}", *options, f"--advertise-client-urls={ETCD}"]
        self.sandbox.start("etcd", [binary("etcd", "server"), *flags])

    @functools.cached_property
    def _serving(self) -> Pair:
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        hosts = [*names, "127.0.0.1", self.wire.node, SERVICE_ADDRESS]
        return self.authority.issue("kube-apiserver", "kube-apiserver", hosts=hosts)

    def start_apiserver(self) -> None:
        """Start the API server, or start it again with the same state, and wait until it is ready."""
        ca, serving, accounts = self.authority.pair, self._serving, self.accounts
        flags = {
            "advertise-address": self.wire.node,
            "secure-port": API_PORT,
            "etcd-servers": ETCD,
            "client-ca-file": ca.certificate,
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
            "allow-privileged": "true",  # as on GKE: Pod Security refuses them
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-cluster-ip-range": SERVICE_RANGE,
            "service-account-issuer": ISSUER,
            "service-account-key-file": accounts.certificate,
            "service-account-signing-key-file": accounts.key,
            "kubelet-certificate-authority": ca.certificate,
            "kubelet-client-certificate": self.admin.certificate,
            "kubelet-client-key": self.admin.key,
            # The API server cannot resolve the node's name.
            "kubelet-preferred-address-types": "InternalIP",
        }
        self.sandbox.start("kube-apiserver", [binary("kubernetes", "kube-apiserver"), *_arguments(flags)])
        self.sandbox.wait("kube-apiserver", self.api.ready, errors=(OSError, Refused))

    def _start_manager(self) -> None:
        ca = self.authority.pair
        kubeconfig = self.credentials("kube-controller-manager", "system:kube-controller-manager")
        flags = {
            "kubeconfig": kubeconfig,
            "leader-elect": "false",
            "root-ca-file": ca.certificate,
            "service-account-private-key-file": self.accounts.key,
            "cluster-signing-cert-file": ca.certificate,
            "cluster-signing-key-file": ca.key,
            "use-service-account-credentials": "true",
        }
        command = binary("kubernetes", "kube-controller-manager")
        self.sandbox.start("kube-controller-manager", [command, *_arguments(flags)])

    def _start_scheduler(self) -> None:
        kubeconfig = self.credentials("kube-scheduler", "system:kube-scheduler")
        flags = {"kubeconfig": kubeconfig, "leader-elect": "false"}
        self.sandbox.start("kube-scheduler", [binary("kubernetes", "kube-scheduler"), *_arguments(flags)])


def _arguments(flags: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]
