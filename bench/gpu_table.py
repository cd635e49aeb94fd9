"""The table of bench/gpu.py, from the figures of its parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpu_parts import Part

CHIPS = Path(__file__).resolve().parent.parent / "trainer" / "cost" / "chips.json"
COLUMNS = ("part", "images/s", "of PyTorch", "MFU", "of bandwidth", "GiB, device", "GiB, compiler", "note")
Rows = list[tuple[Part, dict[str, Any]]]


def row(part: Part, result: dict[str, Any], rows: Rows) -> dict[str, str]:
    """Return the cells of a part, by column."""
    cells = {"part": part.name}
    for key in ("skipped", "failed"):
        if key in result:
            return cells | {"note": f"{key}: {result[key]}"}
    if rate := result.get("images_per_second"):
        cells["images/s"] = f"{rate:,.1f}"
        theirs = [
            other.get("images_per_second", 0.0)
            for peer, other in rows
            if peer.pytorch and not part.pytorch and peer.shape == part.shape
        ]
        if theirs and max(theirs):
            cells["of PyTorch"] = f"{rate / max(theirs):.2f}"
        if peak := peaks(result["device"], rows):
            for column, per_image, limit in (
                ("MFU", "flops_per_image", peak[0]),
                ("of bandwidth", "bytes_per_image", peak[1]),
            ):
                if per_image in result:
                    cells[column] = f"{rate * result[per_image] / limit:.1%}"
    for column, key in (("GiB, device", "counted_peak_bytes"), ("GiB, compiler", "compiler_peak_bytes")):
        if result.get(key):
            cells[column] = f"{result[key] / 2**30:.2f}"
    return cells | {"note": note(part, result)}


def note(part: Part, result: dict[str, Any]) -> str:
    """Return what a part has to say besides rates."""
    if part.group == "ceilings":
        return (
            f"{result['bytes_per_second'] / 1e12:.3f} TB/s, {result['flops_per_second'] / 1e12:.1f} TFLOP/s"
        )
    if part.group == "check":
        return f"estimates {result['train']['peak'] / 2**30:.2f} GiB"
    if "compile_seconds" in result:
        return f"{result['compile_seconds']:.0f} s until warm"
    if "accuracy" in result:
        return f"{100 * result['accuracy']:.1f} % top-1"
    lines = [line for line in result.get("text", "").splitlines() if line.strip()]
    return f"{result['wall_seconds']:.0f} s; {lines[-1][:160] if lines else 'nothing printed'}"


def peaks(device: str, rows: Rows) -> tuple[float, float] | None:
    """Return (FLOP/s, bytes/s) of a device: its maker's, else those that the first part measured."""
    chips = json.loads(CHIPS.read_text(encoding="utf-8"))
    if device in chips:
        return chips[device]["flops"], chips[device]["bytes"]
    for part, result in rows:
        if part.group == "ceilings" and "flops_per_second" in result:
            return result["flops_per_second"], result["bytes_per_second"]
    return None


def table(rows: Rows) -> str:
    """Return the table of all parts, in Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " + "| ---: " * (len(COLUMNS) - 2) + "| --- |"]
    for part, result in rows:
        cells = row(part, result, rows)
        lines.append(f"| {' | '.join(cells.get(column, '') for column in COLUMNS)} |")
    return "\n".join(lines)
