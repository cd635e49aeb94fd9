"""The Kubernetes client, imported without what only some ways to log in need.

Its module for kubeconfigs imports libraries for OpenID Connect and for accounts of Google at its top: half of
the time that it takes to import, in every command that asks a cluster. Here they are imported when a login
first uses them.
"""

import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

# module -> functions and classes that the client takes out of it while it is imported
LATER = {
    "oauthlib.oauth2": (),
    "requests_oauthlib": ("OAuth2Session",),
    "requests": (),
    "requests.utils": ("should_bypass_proxies",),
    "google.auth": (),
    "google.auth.transport": (),
    "google.auth.transport.requests": (),
}


class Later(ModuleType):
    """A module that is imported when something of it is first looked up."""

    def __init__(self, name: str, taken: tuple[str, ...]):
        super().__init__(name)
        vars(self).update({member: _caller(name, member) for member in taken}, __path__=[])

    def __getattr__(self, name: str) -> Any:
        own = vars(self)["__name__"]
        if name.startswith("__") or isinstance(sys.modules.get(own), Later):
            raise AttributeError(name)
        module = importlib.import_module(own)
        for part in LATER:
            if part.startswith(f"{own}."):
                importlib.import_module(part)  # the client has imported these parts, as far as it knows
        return getattr(module, name)


def load() -> tuple[Any, Any]:
    """Return the modules ``kubernetes.client`` and ``kubernetes.config``."""
    # Another thread could import one of these libraries meanwhile, and get a part of it.
    if "kubernetes" not in sys.modules and threading.active_count() == 1:
        _load_in_part()
    return importlib.import_module("kubernetes.client"), importlib.import_module("kubernetes.config")


def _load_in_part() -> None:
    absent = {name: Later(name, taken) for name, taken in LATER.items() if name not in sys.modules}
    parents = {name.rpartition(".")[0] for name in absent} - {"", *absent}
    try:
        installed = [importlib.import_module(name) for name in sorted(parents)]
    except ImportError:  # the client says what is missing
        return
    sys.modules.update(absent)
    try:
        importlib.import_module("kubernetes.config")
    except ImportError:  # another version of the client takes more out of them: it is imported whole
        for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
            del sys.modules[name]
        return
    finally:
        for name, module in absent.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
    for parent in installed:
        for name, module in absent.items():
            parent_name, _, child = name.rpartition(".")
            if parent_name == parent.__name__ and not hasattr(parent, child):
                setattr(parent, child, module)


def _caller(module: str, member: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), member)(*args, **kwargs)

    return call
