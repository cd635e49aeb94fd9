"""The pages of docs/reference/, written from the code."""

from __future__ import annotations

import json

import reference_contract
import reference_flags
import reference_progress
import reference_python
from markup import NOTE, code, table

# file of the run directory: what it holds
RUN_DIRECTORY = {
    "config.json": "Every setting of the run, resolved. Written once the state is restored.",
    "attempts.jsonl": "One row per attempt: its time in Unix seconds, the step it begins at, its settings, "
    "and digest and commit of its code.",
    "dataset.json": "The names of the classes in the order of the logits, and image size, mean, standard "
    "deviation and centre crop of the images. Verbs of `resnet-train` that need no pictures of the dataset "
    "read this file in its place.",
    "checkpoints/": "The newest checkpoints (`checkpoint.keep`) and those with the best validation accuracy "
    "(`checkpoint.keep_best`). They hold dicts of named arrays and no classes.",
    "metrics.jsonl": "One row per logged step and one per evaluation. A step that a restart repeats is "
    "listed once. In a bucket the file is rewritten with each checkpoint and at least every 30 s.",
    "events.jsonl": "One row per [event](events.md), with its time in Unix seconds and its duration. "
    "[Goodput](../guides/report.md#goodput) is computed from it.",
    "report.html": "The [page of the run](../guides/report.md), written at the end.",
    "compile-cache/": "Compiled programs, so that a restart does not compile again. Whoever can write here "
    "can run code in the pods; the same holds for the checkpoints.",
    "local.json": "The command line of a run of `resnet-launch local`, for its owner alone. "
    "[`resize --local`](../guides/resize.md#on-this-machine) goes on with it.",
    "code/": "The archive of [`--code`](../guides/own-code.md), named by its SHA-256. The pods of a run in a "
    "bucket fetch it from here.",
    "profile/": "An xprof trace of the steps of `--profile` (`log.profile_steps`), by the first host.",
    "tensorboard/": "With `log.tensorboard=true`, the rows of `metrics.jsonl` for TensorBoard, one file per "
    "attempt and each step once. A killed attempt may lack its last 30 s. It needs the extra `tensorboard`, "
    "which the images have.",
    "wandb/": "Files of wandb where there is no key. A run in a bucket keeps them in the pod.",
    "wandb-id": "The wandb id that all restarts share.",
    ".lock": "The lock of a run in a local directory. In a bucket an object does the same; the job that is "
    "alive renews it.",
}


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    texts = {
        "resnet-launch.md": reference_flags.resnet_launch(),
        "resnet-train.md": reference_flags.resnet_train(),
        "settings.md": settings(),
        "exit-codes.md": reference_contract.exit_codes(),
        "events.md": reference_contract.events(),
        "progress-lines.md": reference_progress.page(),
        "environment.md": reference_contract.environment(),
        "run-directory.md": run_directory(),
        "python.md": reference_python.python_api(),
    }
    return {name: text.replace("\n", f"\n\n{NOTE}", 1) for name, text in texts.items()}


def settings() -> str:
    """Return the page of the trainer's settings, one table per section."""
    from trainer.config import schema

    parts = [
        "# Settings of the trainer\n",
        "`--set section.field=value` changes a setting, for `resnet-launch` and for `python -m trainer`. "
        "`resnet-launch config --train` prints this list. A wrong name or value is refused before anything "
        "is submitted. Where settings come from is in [Where values come "
        "from](../explanations/configuration.md).\n",
    ]
    rows = schema()
    for section in dict.fromkeys(row["field"].split(".")[0] for row in rows):
        fields = [row for row in rows if row["field"].startswith(f"{section}.")]
        cells = ((code(row["field"]), code(default(row["default"])), meaning(row)) for row in fields)
        parts += [f"## {section}\n", table(("setting", "default", "meaning"), cells)]
    return "\n".join(parts)


def default(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def meaning(row: dict) -> str:
    choices = f" ({', '.join(row['choices'])})" if "choices" in row else ""
    return f"{row['help']}{choices}"


def run_directory() -> str:
    """Return the page of what a run leaves behind."""
    rows = ((code(name), text) for name, text in RUN_DIRECTORY.items())
    return "\n".join(
        [
            "# Run directory\n",
            "A run directory is a local path or `gs://…`, the same on every host. The same command continues "
            "from the newest checkpoint; how is in [Resume a run](../guides/resume.md).\n",
            table(("name", "holds"), rows),
        ]
    )
