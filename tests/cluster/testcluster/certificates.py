"""Keys and certificates of one cluster: an authority, the pairs it issues, kubeconfigs with them."""

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=365)
# A certificate issued right now is not valid yet for a clock that is behind.
BACKDATE = datetime.timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key as PEM files; managers expect tls.crt and tls.key in one `folder`."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"


class Authority:
    """The certificate authority of one cluster; every file lies under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = Pair(folder=folder / "ca")
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "resnet-launch test cluster")])
        if self.pair.key.exists():  # the authority of a cluster that runs already
            self._key = _read(self.pair.key)
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        _write(self.pair, builder.sign(self._key, hashes.SHA256()), self._key)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + VALID)
        )

    def issue(self, name: str, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Pair:
        """A pair for `user` in `groups`; with `hosts` (names or IPv4 addresses) it can serve as them too.

        Issuing the same name again returns the existing pair.
        """
        pair = Pair(folder=self.folder / name)
        if pair.key.exists():
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = self._builder(subject, key).add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), False
            )
        _write(pair, builder.sign(self._key, hashes.SHA256()), key)
        return pair

    def bundle(self) -> str:
        """Return the authority's certificate in base64, the form of `caBundle` fields."""
        return base64.b64encode(self.pair.certificate.read_bytes()).decode()

    def kubeconfig(self, path: Path, server: str, user: Pair, context: str = "test-cluster") -> Path:
        """Write a kubeconfig that holds everything it needs, readable by its owner only."""
        encoded = {
            field: base64.b64encode(file.read_bytes()).decode()
            for field, file in (("client-certificate-data", user.certificate), ("client-key-data", user.key))
        }
        cluster = {"server": server, "certificate-authority-data": self.bundle()}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": context, "user": encoded}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


def _read(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pair.folder.mkdir(parents=True, exist_ok=True)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
