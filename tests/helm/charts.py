"""Charts through helm itself: one case, or hundreds in one process."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HELM = Path(__file__).parents[2] / "helm"
TRAIN, PLATFORM = HELM / "resnet-train", HELM / "resnet-platform"
Object = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one helm command gave."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Object]:
        """The manifests on standard output."""
        assert self.code == 0, self.err
        return [found for found in yaml.load_all(self.out, yaml.CSafeLoader) if found]


class Helm:
    """The helm at `path`, with a home of its own that nobody's settings reach."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, *words: str, given: str = "", kubeconfig: Path | None = None) -> Answer:
        with tempfile.TemporaryDirectory() as home:
            places = {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
            # A cluster of this machine is behind no proxy.
            config = {"KUBECONFIG": str(kubeconfig or os.devnull), "NO_PROXY": "*"}
            done = subprocess.run(
                [self.path, *words],
                input=given,
                env={**os.environ, **places, **config},
                capture_output=True,
                text=True,
                timeout=300,
            )
        return Answer(done.returncode, done.stdout, done.stderr)

    def template(self, values: Object, *words: str, chart: Path = TRAIN) -> Answer:
        """`helm template run CHART -f -` with these values."""
        return self("template", "run", str(chart), "-f", "-", *words, given=json.dumps(values))

    def many(self, cases: list[Object], folder: Path) -> list[list[Object]]:
        """The objects of each case, in one process: a chart with the chart as its dependency once a case."""
        names = [f"case{number}" for number in range(len(cases))]
        version = yaml.safe_load((TRAIN / "Chart.yaml").read_text())["version"]
        needs = [{"name": TRAIN.name, "version": version, "alias": name} for name in names]
        (folder / "charts").mkdir(parents=True)
        (folder / "charts" / TRAIN.name).symlink_to(TRAIN)
        chart = {"apiVersion": "v2", "name": "all", "version": "0.0.0", "dependencies": needs}
        (folder / "Chart.yaml").write_text(json.dumps(chart))
        answer = self.template(dict(zip(names, cases, strict=True)), chart=folder)
        assert answer.code == 0, answer.err
        return [_of(answer.out, name) for name in names]


def _of(printed: str, name: str) -> list[Object]:
    """The documents that came from one dependency, told by helm's comment above each."""
    mark = f"# Source: all/charts/{name}/templates/"
    parts = [part for part in printed.split("\n---\n") if mark in part]
    return [yaml.load(part, yaml.CSafeLoader) for part in parts]
