"""docs/reference/progress-lines.md: the lines by which any program is followed."""

from __future__ import annotations

from markup import code, table

from launcher import contract

READ = {  # kind -> its values that the launcher shows, and where
    "progress": {
        "step": "steps done, a whole number; without it the line is left out",
        "steps": "steps of the whole run",
        "loss": "any number; text such as `nan` is shown as it is",
        "eta_seconds": "time left, in seconds, shown while the run is running",
        "NAME_per_second": "throughput over all hosts: `tokens_per_second=12345` reads `12,345 tokens/s`",
        "data_wait": "fraction of the time spent waiting for data, 0 to 1, beside a throughput",
    },
    "evaluate": {
        "step": "step of the evaluation",
        "accuracy": "0 to 1, shown in percent; `status` also names the best of the log",
        "other numbers": "without an accuracy, the first three are shown with their names",
    },
    "event": {
        "name": "one of the events below, which split the start-up of a run",
        "at": "when it happened, in unix seconds",
    },
}


def page() -> str:
    """Return the page of progress lines."""
    milestones = ", ".join(code(name) for name in contract.milestones())
    parts = [
        "# Progress lines\n",
        "Any program may print these lines to its standard output, and `resnet-launch status`, `list`, "
        "`wait` and `logs` read them. The trainer of this project prints them too, with [more "
        "values](events.md). Every value but the step is optional, and other values are ignored.\n",
        "```text",
        "progress step=40 steps=100 loss=2.31 tokens_per_second=51234 eta_seconds=87",
        "evaluate step=40 loss=2.25 perplexity=9.49",
        '{"kind": "progress", "step": 40, "steps": 100}',
        "```\n",
        "- A line begins with its kind. `key=value` pairs follow, each after one space; or the line is an "
        'object of JSON that begins with `{"kind":`.',
        '- A text with spaces, quotes or equals signs is a JSON string: `note="two words"`.',
        "- The first host's lines count: pod 0 of slice 0. Print one every few seconds and flush it "
        "(`print(…, flush=True)`); the pods set `PYTHONUNBUFFERED=1`.",
        "- `status` reads the last 400 lines of the log and `list` the last 20, so a program that prints "
        "much else repeats its progress.",
        "- A line that cannot be read, or holds a value of another kind, is prose: it is shown by `logs` and "
        "claims nothing.\n",
    ]
    for kind, values in READ.items():
        rows = ((code(name) if " " not in name else name, meaning) for name, meaning in values.items())
        parts += [f"## {kind}\n", table(("value", "meaning"), rows)]
    parts.append(f"Events on the way to the first step, in order: {milestones}.\n")
    parts += [
        "## In a program\n",
        "```python",
        'print(f"progress step={step} steps={steps} loss={loss:.4g} eta_seconds={left:.0f}", flush=True)',
        'print(f"evaluate step={step} accuracy={accuracy:.4f}", flush=True)',
        'print(f"event name=first_step at={time.time():.3f}", flush=True)',
        "```\n",
    ]
    return "\n".join(parts)
