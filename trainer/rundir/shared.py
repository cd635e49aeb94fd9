"""Whether the hosts of a run write to one and the same folder, tried out before anything relies on it."""

import contextlib
import json
import secrets

import jax
from etils import epath

from trainer.runtime.agreement import agreed, from_first_host
from trainer.runtime.messages import warn


def shared_by_all_hosts(folder: epath.Path) -> bool:
    """Return whether what each host writes to a folder is there for the first host; warn if it is not.

    Called on every host alike, with the same answer. The folder exists where it is the first host's.
    """
    if jax.process_count() == 1:
        return True
    token = from_first_host(secrets.token_hex(8))
    marks = [folder / f".host-{process}-{token}" for process in range(jax.process_count())]
    mine = marks[jax.process_index()]
    with contextlib.suppress(Exception):  # each client has its own; the first host will miss the file
        mine.write_text("")
    with agreed():
        pass  # every host has tried
    absent = [process for process, mark in enumerate(marks) if jax.process_index() == 0 and not _exists(mark)]
    absent = json.loads(from_first_host(json.dumps(absent)))
    with contextlib.suppress(Exception):
        mine.unlink()
    if absent and jax.process_index() == 0:
        hosts = ("host " if len(absent) == 1 else "hosts ") + ", ".join(map(str, absent[:8]))
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        warn(
            f"{hosts}{more} cannot write to the first host's {folder}: each save gathers the divided state "
            "on every device, and the first host writes it alone"
        )
    return not absent


def _exists(path: epath.Path) -> bool:
    try:
        return path.exists()
    except Exception:  # each client has its own exceptions
        return False
