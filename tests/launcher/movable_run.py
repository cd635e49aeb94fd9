"""A run on an API server of this folder that can be replaced by the same run on another shape."""

from __future__ import annotations

from typing import Any

from api_server import ApiServer, Asked, Handler, failure
from stored_runs import stored

from launcher import TrainingJob, keys

JOB: dict[str, Any] = {
    "slice": "cpu-2x1",
    "arch": "resnet-tiny",
    "data": "digits",
    "bucket": "b-1",
    "name": "run",
}
JOB |= {"batch": 64, "env": ["TZ=UTC"], "max_restarts": 3}


class Cluster(ApiServer):
    """A server that stores what is applied and drops what is deleted; `spoil` sees each request first."""

    def __init__(self, job: dict[str, Any] = JOB, spoil: Any = None) -> None:
        self.spoil = spoil
        self.refused = 0  # creations of a run that exists
        super().__init__(self.answered, jobsets=[stored(TrainingJob(**job))])

    def answered(self, handler: Handler, asked: Asked) -> Any:
        if self.spoil and (answer := self.spoil(handler, asked)):
            return answer
        runs = self.objects["jobsets"]
        if asked.plural != "jobsets":
            return None
        if asked.method == "DELETE":
            expected = ((asked.body or {}).get("preconditions") or {}).get("uid")
            if any(expected not in (None, run["metadata"]["uid"]) for run in runs):
                return failure(409, "Precondition failed: UID in precondition differs", "Conflict")
            self.objects["jobsets"] = [run for run in runs if run["metadata"]["name"] != asked.name]
        elif asked.method == "PATCH" and "dryRun" not in asked.query:
            if runs:
                self.refused += 1
                return failure(409, f'jobsets "{asked.name}" already exists', "Conflict")
            runs.append(stored(TrainingJob(**JOB)) | {"spec": asked.body["spec"]})
            runs[-1]["metadata"] |= {**asked.body["metadata"], "uid": f"uid-{len(self.asked)}"}
            return 201, {}, runs[-1]
        return None

    def shapes(self) -> list[tuple[str, int]]:
        return [
            (run["metadata"]["annotations"][keys.SLICE_NAME], run["spec"]["replicatedJobs"][0]["replicas"])
            for run in self.objects["jobsets"]
        ]

    def changes(self) -> list[str]:
        return [
            asked.method
            for asked in self.asked
            if asked.method in ("DELETE", "PATCH") and "dryRun" not in asked.query
        ]
