"""What a run on this machine has reached, and what to type next."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import contract
from launcher.errors import printable
from launcher.local import paths

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

BUCKET = "gs://my-bucket"
SLICES = {"v4-32": 16, "v4-8": 4, "v5e-1": 1}  # slice that a hint names -> its devices
READ = ("data.name", "data.root", "train.init")  # settings that name what a run reads
# Fields that say where a run of this machine is: a run on a cluster has its own.
HERE = ("slice", "num_slices", "run_dir", "name", "data", "bucket")


def lines(job: TrainingJob, flags: Mapping[str, Any], restarts: int, seconds: float) -> list[str]:
    """Return the result of a run that has ended, its page, and the next commands.

    Args:
      flags: field -> value, as they were typed.
      seconds: duration of the run, in seconds.
    """
    count = "1 restart" if restarts == 1 else f"{restarts} restarts"
    if job.command:
        return [f"{job.name} finished in {seconds:.0f} s with {count}", f"run directory {job.run_dir}"]
    events = _last_attempt(job.run_dir)
    trained = restarts or not events or any(event.get("name") == "first_step" for event in events)
    end = events[-1] if events and events[-1].get("name") == "end" else {}
    result = ""
    if isinstance(accuracy := end.get("accuracy"), float):
        result = f": accuracy {accuracy:.2%} after {end.get('step')} steps"
    verb = f"finished in {seconds:.0f} s with {count}" if trained else "was already finished"
    page = os.path.join(job.run_dir, "report.html")
    shown = [f"{job.name} {verb}{result}", f"its results are in {job.run_dir}"]
    if os.path.exists(page):
        shown.append(f"its page, for a browser: {Path(page).as_uri()}")
    return [*shown, "next:", *(f"  {command}" for command in _commands(job, flags, bool(trained)))]


def _last_attempt(run_dir: str) -> list[dict[str, Any]]:
    """Return the events since the last start; none where they cannot be read here, as in a bucket."""
    try:
        text = Path(run_dir, "events.jsonl").read_text(encoding="utf-8", errors="replace")
        events = [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError):
        return []
    if not all(isinstance(event, dict) for event in events):
        return []
    starts = [index for index, event in enumerate(events) if event.get("name") == "start"]
    return events[starts[-1] :] if starts else []


def _commands(job: TrainingJob, flags: Mapping[str, Any], trained: bool) -> Iterator[str]:
    yield f"resnet-train report {shlex.quote(job.run_dir)} --json   # its figures"
    if not trained:
        anew = _flags(dict(flags) | {"name": f"{job.name}-2", "run_dir": None})
        anew += ["--", *job.args] if job.args else []
        yield f"{_typed('local', *anew)}   # the same from the start"
    data = str(job.requested.get("data.name", ""))
    if data.startswith("/"):
        yield f"{_typed('data', 'pack', data, _in_bucket(data))}   # pods read a bucket"
    yield f"{_typed('render', *_on_a_slice(job, flags))}   # the same run on a TPU slice"


def _typed(*arguments: str) -> str:
    return shlex.join(["resnet-launch", *arguments])


def _on_a_slice(job: TrainingJob, flags: Mapping[str, Any]) -> list[str]:
    """Return the arguments for the same run on a TPU slice; a bucket replaces this machine's paths."""
    batch = int(job.settings["train.batch"])
    name = next(name for name, devices in SLICES.items() if batch % devices == 0)
    data = str(job.requested.get("data.name", ""))
    settings = [setting for text in flags.get("set") or () for setting in _elsewhere(str(text))]
    pairs = [*zip(job.args[::2], job.args[1::2], strict=True)]
    settings += [text for flag, value in pairs if flag == "--set" for text in _elsewhere(value)]
    dashes = [word for pair in pairs if pair[0] not in ("--set", "--data") for word in pair]
    kept = {field: value for field, value in flags.items() if field not in HERE}
    arguments = ["--slice", name, *_flags(kept | {"set": tuple(settings)})]
    if data and not any(text.startswith("data.name=") for text in settings):
        arguments += ["--data", _in_bucket(data)]
    return [*arguments, "--bucket", BUCKET.removeprefix("gs://"), *(["--", *dashes] if dashes else [])]


def _elsewhere(setting: str) -> Iterator[str]:
    """Yield a setting as it is on a cluster; none where it names a folder to write to on this machine."""
    name, _, value = paths.resolve({"set": [setting]})["set"][0].partition("=")
    field = contract.fields().get(name.strip())
    if field is None or not (field.get("paths") or "local" in field) or value.startswith("gs://"):
        yield setting
    elif name.strip() in READ:
        yield f"{name}={_in_bucket(value)}"


def _in_bucket(path: str) -> str:
    """Return where a dataset of this machine would be in a bucket; another name or address as it is."""
    return f"{BUCKET}/{os.path.basename(path.rstrip('/'))}" if path.startswith("/") else path


def _flags(fields: Mapping[str, Any]) -> list[str]:
    """Return fields as flags; repeated ones once per value."""
    arguments: list[str] = []
    for field, value in fields.items():
        if value not in (None, ()):
            values = value if isinstance(value, tuple) else (value,)
            arguments += [
                part for item in values for part in (f"--{field.replace('_', '-')}", printable(item))
            ]
    return arguments
