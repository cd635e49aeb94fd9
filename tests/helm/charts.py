"""Charts through helm itself: one case, or hundreds in one process."""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from testcluster.sandbox import GO

HELM = Path(__file__).parents[2] / "helm"
TRAIN, PLATFORM = HELM / "resnet-train", HELM / "resnet-platform"
Object = dict[str, Any]
SOURCE = re.compile(r"^# Source: all/charts/(case\d+)/templates/", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """Exit code and output of one helm command."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Object]:
        """The manifests on standard output."""
        assert self.code == 0, self.err
        return [document for document in yaml.load_all(self.out, yaml.CSafeLoader) if document]


class Helm:
    """The helm at `path`, with a home of its own, so that no settings of the user apply."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> Result:
        with tempfile.TemporaryDirectory() as home:
            homes = {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
            # The test cluster is on this machine, so no proxy is used.
            config = {"KUBECONFIG": str(kubeconfig or os.devnull), "NO_PROXY": "*"}
            done = subprocess.run(
                [self.path, *arguments],
                input=stdin,
                env={**os.environ, **GO, **homes, **config},
                capture_output=True,
                text=True,
                timeout=300,
            )
        return Result(done.returncode, done.stdout, done.stderr)

    def template(self, values: Object, *arguments: str, chart: Path = TRAIN) -> Result:
        """`helm template run CHART -f -` with these values."""
        return self("template", "run", str(chart), "-f", "-", *arguments, stdin=json.dumps(values))

    def many(self, cases: list[Object], folder: Path) -> list[list[Object]]:
        """Return the objects of each case, rendered by one process.

        A chart in `folder` has resnet-train as a dependency once per case, under the aliases case0, case1, …
        """
        names = [f"case{number}" for number in range(len(cases))]
        version = yaml.safe_load((TRAIN / "Chart.yaml").read_text())["version"]
        dependencies = [{"name": TRAIN.name, "version": version, "alias": name} for name in names]
        (folder / "charts").mkdir(parents=True)
        (folder / "charts" / TRAIN.name).symlink_to(TRAIN)
        chart = {"apiVersion": "v2", "name": "all", "version": "0.0.0", "dependencies": dependencies}
        (folder / "Chart.yaml").write_text(json.dumps(chart))
        result = self.template(dict(zip(names, cases, strict=True)), chart=folder)
        assert result.code == 0, result.err
        objects: dict[str, list[Object]] = {name: [] for name in names}
        for part in result.out.split("\n---\n"):
            # Helm prints above each document which dependency it is of.
            if source := SOURCE.search(part):
                objects[source[1]].append(yaml.load(part, yaml.CSafeLoader))
        return list(objects.values())
