"""``report.html``: one self-contained page with the settings, metrics and events of a run."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from html import escape

from etils import epath

from trainer.config import FIELDS, SECTIONS
from trainer.errors import first_line
from trainer.metrics import expected
from trainer.report import looks, mistakes
from trainer.report.chart import Line, chart, percent
from trainer.report.document import document
from trainer.report.looks import Explanation
from trainer.report.mistakes import ErrorAnalysis
from trainer.rundir import files
from trainer.rundir.goodput import KINDS
from trainer.rundir.record import Record, Row
from trainer.runtime.messages import warn


def write(root: epath.Path, record: Record) -> None:
    """Write the page at the end of a run; a failure is only a warning."""
    try:
        reason = "`resnet-train report` on this run's directory adds it."
        files.write(root / "report.html", render(record, reason))
    except Exception as error:  # a bucket's client, a disk, an unexpected row
        warn(f"{root}/report.html was not written: {first_line(error, 1000)}")


def render(record: Record, analysis: ErrorAnalysis | str, explanation: Explanation | None = None) -> str:
    """Return the page of a run as HTML.

    Args:
      record: settings, metrics and events of the run.
      analysis: mistakes of the best checkpoint, or the reason why there are none.
      explanation: pictures with where the network looked; None: there is no such section.
    """
    looked = [looks.section(explanation)] if explanation else []
    parts = [_header(record), _charts(record), _time(record), *looked]
    return document(record.config.name, "".join([*parts, mistakes.section(analysis), _settings(record)]))


def render_weights(
    name: str, facts: str, explanation: Explanation, analysis: ErrorAnalysis | None = None
) -> str:
    """Return the page of a weights file as HTML.

    Args:
      name: title of the page.
      facts: a line below it.
      explanation: pictures with where the network looked.
      analysis: mistakes on a dataset; None: there is no such section.
    """
    header = f'<h1>{escape(name)}</h1><div class="muted">{escape(facts)}</div>'
    wrong = [mistakes.section(analysis)] if analysis else []
    return document(name, "".join([header, looks.section(explanation), *wrong]))


def _header(record: Record) -> str:
    config, result, start = record.config, record.result(), record.event("start")
    last = next(iter(record.rows("train")[-1:]), {})
    facts = {"state": result["state"], "steps": f"{result['step']:,}"}
    if last:
        facts |= {"epochs": f"{last['epoch']:.2f}", "training loss": f"{last['loss']:.4f}"}
    if "best_accuracy" in result:
        facts["best test accuracy"] = _share(result["best_accuracy"])
        facts["best accuracy at step"] = f"{result['best_step']:,}"
    if "images_per_second" in result:
        facts["median images/s"] = f"{result['images_per_second']:,.0f}"
        facts |= _against_prediction(record.rows("train"))
    if "mfu" in last and "hbm" in last:
        facts |= {"MFU": _share(last["mfu"]), "memory bandwidth used": _share(last["hbm"])}
    if "nonzeros" in last and "sparse_gflop" in last:
        facts["non-zero parameters"] = f"{100 * last['nonzeros']:.2f} %"
        facts["theoretical GFLOP per image, forward"] = f"{last['sparse_gflop']:.3g}"
    devices = ""
    if "devices" in start and "hosts" in start:
        kind = start.get("device_kind", "")
        devices = (
            f", {_count(start['devices'], f'{kind} device'.strip())} on {_count(start['hosts'], 'host')}"
        )
    summary = f"{config.model.arch} on {config.data.name}, batch {config.train.batch:,}{devices}"
    if config.recipe:
        summary += f", recipe {config.recipe}"
    items = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return (
        f'<h1>{escape(config.name)}</h1><div class="muted">{escape(summary)}</div>'
        f'<dl class="facts">{items}</dl>'
    )


def _charts(record: Record) -> str:
    trained, evaluated = record.rows("train"), record.rows("evaluate")
    charts = [
        chart("Loss", [_line("training", trained, "loss"), _line("test", evaluated, "loss", True)]),
        chart(
            "Accuracy",
            [
                _line("training", trained, "accuracy"),
                _line("test", evaluated, "accuracy", True),
                _line("test, raw weights", evaluated, "raw_accuracy", True),
            ],
            percent,
        ),
        chart("Learning rate", [_line("learning rate", trained, "lr")]),
        chart("Residual of the fixed point", [_line("residual", trained, "residual")]),
        chart("Non-zero parameters", [_line("non-zero", trained, "nonzeros")], percent),
        chart(
            "Throughput (images/s)",
            [_line("images/s", trained, "images_per_second"), _line("predicted", trained, "predicted")],
        ),
        chart(
            "Utilisation of the devices' peaks",
            [_line("MFU", trained, "mfu"), _line("memory bandwidth", trained, "hbm")],
            percent,
        ),
    ]
    body = "".join(charts) + _why_training_is_higher(record) if any(charts) else ""
    body = body or '<p class="muted">No step has been logged yet.</p>'
    return f'<section><h2>Curves</h2><div class="charts">{body}</div></section>'


def _why_training_is_higher(record: Record) -> str:
    """Return a sentence for a run whose training loss is measured on harder targets or images than its test.

    Empty where both are measured alike.
    """
    optim, augment, data = record.config.optim, record.config.augment, record.config.data
    causes = [
        (optim.label_smoothing, f"labels smoothed by {optim.label_smoothing:g}"),
        (augment.mixup or augment.cutmix, "mixed images"),
        (augment.policy not in ("", "none") or augment.erase or data.shift_pixels, "augmented images"),
    ]
    named = [text for holds, text in causes if holds]
    if not named or not record.rows("evaluate"):
        return ""
    causes_text = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return (
        f'<p class="muted">Training loss and accuracy are measured on {escape(causes_text)}, '
        "those of the test on plain images and labels. "
        "A training loss above the test loss is therefore normal.</p>"
    )


def _against_prediction(trained: Iterable[Row]) -> dict[str, str]:
    """Return the predicted throughput, the measured share of it and, where that is low, the likely cause."""
    rows = [row for row in trained if row.get("predicted") and row.get("images_per_second")]
    if not rows:
        return {}
    shares = sorted(row["images_per_second"] / row["predicted"] for row in rows)
    share = shares[len(shares) // 2]
    facts = {"predicted images/s": f"{rows[-1]['predicted']:,.0f}", "of the predicted rate": _share(share)}
    causes = Counter(_without_share(row["slow"]) for row in rows if "slow" in row)
    if share < expected.LOW and causes:
        facts["slower than predicted"] = causes.most_common(1)[0][0]
    return facts


def _without_share(cause: str) -> str:
    return cause.partition(", ")[0]


def _line(name: str, rows: Iterable[Row], key: str, dots: bool = False) -> Line:
    points = [(row["step"], row[key]) for row in rows if key in row and math.isfinite(row[key])]
    return Line(name=name, points=points, dots=dots)


def _time(record: Record) -> str:
    goodput = record.goodput
    if not goodput or not goodput.total:
        return ""
    spent = {kind: seconds for kind, seconds in goodput.seconds.items() if seconds}
    bar = "".join(
        f'<i style="--kind:var(--{kind});flex:{seconds} 0 0"></i>' for kind, seconds in spent.items()
    )
    rows = [
        _row(f'<i style="--kind:var(--{kind})"></i>{escape(KINDS[kind])}', seconds, seconds / goodput.total)
        for kind, seconds in spent.items()
    ]
    rows.append(
        _row(f"total since the first start, {_count(goodput.attempts, 'attempt')}", goodput.total, 1.0)
    )
    return (
        f"<section><h2>Goodput {_share(goodput.share)}: where the time went</h2>"
        f'<div class="bar" role="img" aria-label="shares of the time">{bar}</div>'
        '<table class="time"><tr><th></th><th class="number">time</th><th class="number">share</th></tr>'
        f"{''.join(rows)}</table></section>"
    )


def _row(name: str, seconds: float, share: float) -> str:
    cells = "".join(f'<td class="number">{text}</td>' for text in (duration(seconds), _share(share)))
    return f"<tr><td>{name}</td>{cells}</tr>"


def _settings(record: Record) -> str:
    """Return the table of the settings that differ from their defaults."""
    rows = []
    for section in SECTIONS:
        for name, value in dataclasses.asdict(getattr(record.config, section)).items():
            if value != FIELDS[f"{section}.{name}"].default:
                rows.append(f"<tr><td>{section}.{name}</td><td>{escape(str(value))}</td></tr>")
    return (
        "<section><details><summary>Settings that differ from their defaults</summary>"
        f'<table class="settings">{"".join(rows)}</table></details></section>'
    )


def duration(seconds: float) -> str:
    """Return ``3.2 s``, ``4:05 min`` or ``12:04:05 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_seconds:02} h" if hours else f"{minutes}:{whole_seconds:02} min"


def _share(value: float) -> str:
    """Return ``62.5 %``; a share below 1 % has two digits that count."""
    return f"{value * 100:.1f} %" if value >= 0.01 or not value else f"{value * 100:.2g} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
