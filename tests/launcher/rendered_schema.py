"""A JSON Schema of what may be rendered, closed against everything else, written by hand."""

NAME = {"type": "string", "pattern": r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 1}
LABELS = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"},
    "additionalProperties": {
        "type": "string",
        "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "maxLength": 63,
    },
}
ANNOTATIONS = {"type": "object", "minProperties": 1, "additionalProperties": TEXT}


def closed(required: dict, optional: dict | None = None) -> dict:
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def array(items: dict) -> dict:
    return {"type": "array", "items": items, "minItems": 1}


ENV = {
    "oneOf": [
        closed({"name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, "value": TEXT}),
        closed(
            {
                "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "valueFrom": {
                    "oneOf": [
                        closed({"fieldRef": closed({"fieldPath": TEXT})}),
                        closed({"secretKeyRef": closed({"name": TEXT, "key": TEXT})}),
                    ]
                },
            }
        ),
    ]
}
SECURITY = closed(
    {"capabilities": {"type": "object"}},
    {
        "allowPrivilegeEscalation": {"const": False},
        "readOnlyRootFilesystem": {"const": True},
        "runAsUser": {"type": "integer"},
        "runAsNonRoot": {"type": "boolean"},
    },
)
AMOUNTS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": ["integer", "string"]}}
CONTAINER = closed(
    {
        "name": NAME,
        "image": {"type": "string", "pattern": r"^\S+$"},
        "command": array(TEXT),
        "env": array(ENV),
        "volumeMounts": array(
            closed(
                {"name": NAME, "mountPath": {"type": "string", "pattern": "^/"}},
                {"readOnly": {"const": True}},
            )
        ),
        "securityContext": SECURITY,
    },
    {
        "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        "workingDir": {"type": "string", "pattern": "^/"},
        "ports": array(closed({"name": NAME, "containerPort": COUNT})),
        "resources": closed(
            {"requests": AMOUNTS}, {"limits": AMOUNTS, "claims": array(closed({"name": NAME}))}
        ),
        "terminationMessagePolicy": {"const": "FallbackToLogsOnError"},
        "restartPolicy": {"const": "Always"},
    },
)
TOLERATION = closed(
    {"key": TEXT, "operator": {"enum": ["Exists", "Equal"]}},
    {"value": TEXT, "effect": {"enum": ["NoSchedule", "NoExecute", "PreferNoSchedule"]}},
)
TERM = closed(
    {"matchExpressions": array(closed({"key": TEXT, "operator": {"const": "In"}, "values": array(TEXT)}))}
)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
POD = closed(
    {
        "restartPolicy": {"const": "Never"},
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 0},
        "automountServiceAccountToken": {"const": False},
        "securityContext": closed(
            {
                "runAsNonRoot": {"const": True},
                "runAsUser": COUNT,
                "runAsGroup": COUNT,
                "fsGroup": COUNT,
                "fsGroupChangePolicy": {"const": "OnRootMismatch"},
                "seccompProfile": {"const": {"type": "RuntimeDefault"}},
            }
        ),
        "containers": {"type": "array", "items": CONTAINER, "minItems": 1, "maxItems": 1},
        "volumes": array({"type": "object", "required": ["name"], "minProperties": 2, "maxProperties": 2}),
    },
    {
        "serviceAccountName": TEXT,
        "imagePullSecrets": array(closed({"name": TEXT})),
        "priorityClassName": TEXT,
        "schedulerName": TEXT,
        "affinity": {
            **closed(
                {},
                {
                    "nodeAffinity": closed({REQUIRED: closed({"nodeSelectorTerms": array(TERM)})}),
                    "podAffinity": closed({REQUIRED: array({"type": "object", "required": ["topologyKey"]})}),
                },
            ),
            "minProperties": 1,
        },
        "hostNetwork": {"const": True},
        "dnsPolicy": {"const": "ClusterFirstWithHostNet"},
        "nodeSelector": LABELS,
        "tolerations": array(TOLERATION),
        "initContainers": array(CONTAINER),
        "resourceClaims": array(closed({"name": NAME, "resourceClaimTemplateName": TEXT})),
    },
)
JOB = closed(
    {
        "parallelism": COUNT,
        "completions": COUNT,
        "completionMode": {"const": "Indexed"},
        "podFailurePolicy": closed({"rules": array({"type": "object", "required": ["action"]})}),
        "template": closed(
            {"metadata": closed({"labels": LABELS}, {"annotations": ANNOTATIONS}), "spec": POD}
        ),
    },
    {
        "activeDeadlineSeconds": COUNT,
        "backoffLimit": {"const": 0},
        "backoffLimitPerIndex": COUNT,
        "maxFailedIndexes": {"const": 0},
    },
)
JOBSET = closed(
    {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "kind": {"const": "JobSet"},
        "metadata": closed({"name": NAME, "labels": LABELS, "annotations": ANNOTATIONS}, {"namespace": TEXT}),
        "spec": closed(
            {
                "failurePolicy": closed(
                    {"maxRestarts": {"type": "integer", "minimum": 0}},
                    {"restartStrategy": {"const": "BlockingRecreate"}, "rules": array({"type": "object"})},
                ),
                "replicatedJobs": array(
                    closed({"name": {"const": "slice"}, "replicas": COUNT, "template": closed({"spec": JOB})})
                ),
            },
            {"suspend": {"const": True}, "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0}},
        ),
    }
)
