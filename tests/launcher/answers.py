"""A cluster whose objects and logs a test gives: what launcher.runs asks of launcher.cluster.api.Cluster."""

from launcher.cluster.refusals import Refused


class Answers:
    """Objects by kind, and the lines that each pod has printed."""

    namespace = "default"

    def __init__(self, logs=None, refused=(), **objects):
        self.objects, self.logs, self.refused = objects, logs or {}, refused
        self.asked = []  # kinds, in the order in which they were asked for

    def get(self, kind, name, namespace=None):
        return next((obj for obj in self.objects.get(kind, []) if obj["metadata"]["name"] == name), None)

    def list(self, kind, namespace=None, **query):
        self.asked.append(kind)
        if kind in self.refused:
            raise Refused(403, f"you may not list {kind}", about="permission")
        return list(self.objects.get(kind, [])), "1"

    def log(self, pod, **query):
        return iter(self.logs.get(pod, []))
