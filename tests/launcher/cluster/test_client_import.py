"""Commands that ask a cluster import the Kubernetes client without libraries for logins that nobody uses."""

import subprocess
import sys

import pytest
from api_server import ApiServer, jobset

LATER = ("oauthlib.oauth2", "requests_oauthlib", "requests", "google.auth", "cryptography")


def printed(program, *arguments):
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("verb", [["list"], ["status", "run"], ["logs", "run"]])
def test_a_verb_that_asks_a_cluster_does_without_them(tmp_path, verb):
    program = (
        "import sys; from launcher.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {LATER!r} if name in sys.modules], 'kubernetes.config' in sys.modules)"
    )
    with ApiServer(jobsets=[jobset()]) as server:
        path = str(server.kubeconfig(tmp_path))
        assert printed(program, *verb, "--kubeconfig", path) == "[] True"


@pytest.mark.parametrize(
    "use",
    [
        "import requests_oauthlib as r; ok = isinstance(k.OAuth2Session('id'), r.OAuth2Session)",
        "import google.auth as g; ok = k.google.auth.default is g.default",
        "ok = k.google.auth.transport.requests.Request().__class__.__name__ == 'Request'",
        "k.OAuth2Session('id'); ok = issubclass(k.oauthlib.oauth2.InvalidClientIdError, Exception)",
        "from kubernetes.stream.ws_client import should_bypass_proxies as s; "
        "ok = s('http://localhost', 'localhost')",
        "import requests, google.auth.transport.requests as g; ok = requests.Session and g.Request",
    ],
)
def test_who_needs_one_gets_the_real_one(use):
    program = f"from launcher.cluster import client_import as c; c.load()\nimport kubernetes.config.kube_config as k; {use}; print(bool(ok))"  # noqa: E501
    assert printed(program) == "True"


def test_another_thread_that_may_import_them_is_not_disturbed():
    program = (
        "import sys, threading; from launcher.cluster import client_import as c; leave = threading.Event()\n"
        "thread = threading.Thread(target=leave.wait); thread.start(); c.load(); leave.set()\n"
        "print('google.auth' in sys.modules)"
    )
    assert printed(program) == "True"


def test_a_client_that_takes_more_out_of_them_is_imported_whole():
    program = (
        "import sys; from launcher.cluster import client_import as c; c.LATER['requests.utils'] = ()\n"
        "client, config = c.load(); import kubernetes.config.kube_config as k, google.auth\n"
        "print(k.google.auth is google.auth and 'requests_oauthlib' in sys.modules, client.__name__)"
    )
    assert printed(program) == "True kubernetes.client"
