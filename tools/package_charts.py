"""Package the charts of helm/ as dist/NAME-VERSION.tgz, the same bytes on every machine and day.

`python tools/package_charts.py [DIR]` writes into DIR instead. `helm package` is not used because
its archives contain the modification time of each file.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import yaml

CHARTS = Path(__file__).resolve().parent.parent / "helm"


def package(chart: Path) -> bytes:
    """Return a chart's archive as helm reads it: files sorted, without owner, time or local file modes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(path for path in chart.rglob("*") if path.is_file()):
            if any(part.startswith(".") for part in path.relative_to(chart).parts):
                continue
            entry = tarfile.TarInfo(f"{chart.name}/{path.relative_to(chart).as_posix()}")
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(archive.getvalue(), mtime=0)


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for description in sorted(CHARTS.glob("*/Chart.yaml")):
        metadata = yaml.safe_load(description.read_text(encoding="utf-8"))
        path = target / f"{metadata['name']}-{metadata['version']}.tgz"
        path.write_bytes(package(description.parent))
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
