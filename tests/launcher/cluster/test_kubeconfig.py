"""The kubeconfig: every verb finds the same context in the same files."""

import ntpath
import os
import posixpath

import pytest

from launcher.cli import main
from launcher.cluster import kubeconfig
from launcher.errors import ActionError

CLUSTER = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\nusers: [{name: u, user: {}}]\n"


def contexts(*names: str) -> str:
    entries = "".join(f"- {{name: {name}, context: {{cluster: c, user: u}}}}\n" for name in names)
    return f"{CLUSTER}contexts:\n{entries}"


def chosen() -> str:
    """The context that the client uses; empty where it finds none, which `is_configured` must know too."""
    try:
        name = kubeconfig.connect(None, None)[2]
    except ActionError as error:
        name = "" if str(error).startswith("no cluster is configured") else str(error)
    assert kubeconfig.is_configured() is bool(name)
    return name


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home directory, and no cluster from this machine's environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / ".kube").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("current-context: a\n", "a"),
        ("current-context: a # the small one\n", "a"),
        ("current-context:\n  a\n", "a"),
        ("current-context: >-\n  a\n", "a"),
        ('"current-context": "a"\n', "a"),
        ("current-context: ''  # none\n", ""),
        ("current-context: null\n", ""),
        ("current-context:\n", ""),
        ("current-context: # a\n", ""),
        ("# current-context: a\n", ""),
        (
            "preferences:\n  note: |\n    current-context: a\n",
            "",
        ),
        ("", ""),
    ],
)
def test_current_context(home, text, name):
    (home / ".kube" / "config").write_text(contexts("a") + text)
    assert chosen() == name


def test_json_is_yaml(home):
    (home / ".kube" / "config").write_text(
        '{"kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c"}}],'
        ' "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}]}'
    )
    assert chosen() == "a"


@pytest.mark.parametrize("variable", ["~/.kube/config", "~/.kube/../.kube/config", "", "{}/.kube/config"])
def test_a_tilde_is_the_home_directory(home, monkeypatch, variable):
    (home / ".kube" / "config").write_text(contexts("a") + "current-context: a\n")
    monkeypatch.setenv("KUBECONFIG", variable.format(home))
    assert chosen() == "a"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"one": "current-context: a\n", "two": ""}, "a"),
        ({"one": "", "two": "current-context: b\n"}, "b"),
        (
            {"one": "current-context: a\n", "two": "current-context: b\n"},
            "b",
        ),  # as the client, not as kubectl
        ({"one": "current-context: a\n", "two": "current-context: ''\n"}, ""),
        ({"one": "", "two": ""}, ""),
    ],
)
def test_several_files(home, monkeypatch, files, name):
    for file, text in files.items():
        (home / file).write_text(contexts("a", "b") + text)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["~/missing", *(f"~/{file}" for file in files), ""]))
    assert chosen() == name


def test_no_file(home, monkeypatch):
    assert chosen() == ""
    monkeypatch.setenv("KUBECONFIG", str(home / "missing"))
    assert chosen() == ""


def test_no_home(monkeypatch):
    monkeypatch.delenv("HOME")
    assert kubeconfig.files() == [posixpath.expanduser("~/.kube/config")]
    assert not kubeconfig.files()[0].startswith("~")


def test_paths_of_windows(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("USERPROFILE", r"C:\Users\me")
    assert kubeconfig.files(system=ntpath) == [r"C:\Users\me/.kube/config"]
    monkeypatch.setenv("KUBECONFIG", r"~\.kube\config;D:\team\config")
    assert kubeconfig.files(system=ntpath) == [r"C:\Users\me\.kube\config", r"D:\team\config"]


def test_a_context_by_name_needs_no_current_one(home):
    (home / ".kube" / "config").write_text(contexts("a", "b"))
    assert kubeconfig.connect("b", None)[2] == "b"
    with pytest.raises(ActionError, match="must be in the kubeconfig, got 'bb'"):
        kubeconfig.connect("bb", None)


BROKEN = {
    "cut": b"contexts: [",
    "binary": b"\xff\xfe\x00\x01" * 9,
    "several documents": b"a: 1\n---\nb: 2\n",
    "a list": b"- a\n",
    "empty": b"",
    "deep": b"[" * 5000,
    "an odd context": b"current-context: a\ncontexts: [a]\n",
    "a context without a body": b"current-context: a\ncontexts: [{name: a}]\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(home, capsys, content):
    path = home / ".kube" / "config"
    path.write_bytes(content)
    assert main(["list"]) == 1
    assert capsys.readouterr().err.startswith(f"error: kubeconfig {path}: ")


@pytest.mark.parametrize(
    "user",
    ["{client-certificate: /missing}", "{exec: 3}", "{auth-provider: {name: nobody}, token: [1]}", "3"],
)
def test_a_context_that_cannot_be_used_is_named(home, capsys, user):
    text = contexts("a").replace("user: {}", f"user: {user}")
    (home / ".kube" / "config").write_text(text + "current-context: a\n")
    assert main(["list"]) == 1
    assert "this is a bug" not in (err := capsys.readouterr().err), err


@pytest.mark.parametrize(
    ("context", "users", "message"),
    [
        ("namespace: [a], user: u", "[{name: u, user: {}}]", "must have the name of a namespace, got ['a']"),
        ("namespace: 7, user: u", "[{name: u, user: {}}]", "must have the name of a namespace, got 7"),
        ("namespace: A/b, user: u", "[{name: u, user: {}}]", "must have the name of a namespace, got 'A/b'"),
        ("user: u", "null", "must name a user of the kubeconfig, got 'u'; its users: none"),
        ("user: u", "5", "must name a user of the kubeconfig, got 'u'; its users: none"),
        ("user: u", "[{name: v, user: {}}]", "must name a user of the kubeconfig, got 'u'; its users: v"),
    ],
)
def test_a_context_that_names_nobody_or_nothing(home, context, users, message):
    text = CLUSTER.partition("users:")[0] + f"users: {users}\n"
    text += f"contexts: [{{name: a, context: {{cluster: c, {context}}}}}]\ncurrent-context: a\n"
    (home / ".kube" / "config").write_text(text)
    with pytest.raises(ActionError) as caught:
        kubeconfig.connect(None, None)
    assert str(caught.value) == f"kubeconfig: context 'a' {message}"
