"""The fields of KubeRay that deploy/ uses, with their types: everything else in its place is a misspelling.

No package that pip or npm installs has KubeRay's CRDs. Written by hand from the API reference of KubeRay 1.6, file
docs/reference/api.md of ray-project/kuberay (RayJobSpec, RayClusterSpec, HeadGroupSpec, WorkerGroupSpec, AuthOptions).
Pod templates are held against Kubernetes' own schemas instead.
"""

from __future__ import annotations

from typing import Any

WHOLE, TEXT, TRUTH = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
POD_TEMPLATE = {"type": "object"}


def closed(required: str, **fields: Any) -> dict[str, Any]:
    """An object of these fields and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False, "required": required.split()}


HEAD_GROUP = closed(
    "rayStartParams template",
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    enableIngress=TRUTH,
    rayStartParams=TEXTS,
    template=POD_TEMPLATE,
)
WORKER_GROUP = closed(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    rayStartParams=TEXTS,
    template=POD_TEMPLATE,
)
RAY_CLUSTER = closed(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=closed("", mode={"enum": ["disabled", "token"]}, secretName=TEXT),
    enableInTreeAutoscaling=TRUTH,
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
RAY_JOB = closed(
    "",
    entrypoint=TEXT,
    backoffLimit=WHOLE,
    preRunningDeadlineSeconds=WHOLE,
    activeDeadlineSeconds=WHOLE,
    shutdownAfterJobFinishes=TRUTH,
    ttlSecondsAfterFinished=WHOLE,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=POD_TEMPLATE,
    rayClusterSpec=RAY_CLUSTER,
)
LONGEST_NAME = 47
"""Of a RayJob; what is made for it has a longer one (MaxRayJobNameLength in utils/constant.go)."""
