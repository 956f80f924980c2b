"""A spec as a Job for Kubernetes, with what it needs: the spec itself in a ConfigMap, and a claim for its checkpoints.

`perdure run` is process 1 of the container. SIGTERM lets it save and end with 75, and the Job makes another pod without
counting that as a failure; 78 ends the Job. `podFailurePolicy` asks for restartPolicy Never, and
`podReplacementPolicy: Failed` keeps the next pod from starting beside one that is still saving.

Every value that somebody else chose is written as a string in quotes.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from perdured.contract import exits

from .source import Source
from .yaml_text import format_string, format_text

GRACE_MARGIN = 30.0
"""Seconds after the job's grace: the kill, the last commit, the last copy to the remote."""
_FAILURES = 3
"""Pods that may fail otherwise: Perdure has counted and judged the job's own failures by then."""

_GROUP = 10001
_KEY = "spec.toml"
"""Of the spec in its ConfigMap, where a file's name could not stand: blanks are not allowed."""


class KubernetesWishes(NamedTuple):
    image: str
    """With perdure, torch and the program in it."""
    workdir: str = "/workspace"
    """Where the program lies in the image."""
    storage: str = "100Gi"
    shared_memory: str = "8Gi"


def format_kubernetes(source: Source, wishes: KubernetesWishes, text: str) -> str:
    """`text` is the spec's TOML."""
    name = make_name(source.spec.job_name)
    documents = (_format_config(name, text), _format_claim(name, wishes), _format_job(source, name, wishes))
    head = [
        f"# Written by `perdure export kubernetes {source.shown_name}`; hand it in with kubectl apply -f.",
        f"# The image needs perdure, and the program in {wishes.workdir}.",
    ]
    return "\n".join(head) + "\n" + "---\n".join("\n".join(lines) + "\n" for lines in documents)


def make_name(name: str) -> str:
    """As Kubernetes names things: small letters, digits and dashes, 63 at most; some are left for what it appends."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower())[:50].strip("-") or "job"


def _format_config(name: str, text: str) -> list[str]:
    return [
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata:",
        f"  name: {format_string(f'{name}-spec')}",
        "data:",
        *format_text(_KEY, text, "  "),
    ]


def _format_claim(name: str, wishes: KubernetesWishes) -> list[str]:
    return [
        "apiVersion: v1",
        "kind: PersistentVolumeClaim",
        "metadata:",
        f"  name: {format_string(f'{name}-checkpoints')}",
        "spec:",
        "  accessModes: [ReadWriteOnce]",
        "  resources:",
        "    requests:",
        f"      storage: {format_string(wishes.storage)}",
    ]


def _format_job(source: Source, name: str, wishes: KubernetesWishes) -> list[str]:
    grace = source.spec.stop.grace
    return [
        "apiVersion: batch/v1",
        "kind: Job",
        "metadata:",
        f"  name: {format_string(name)}",
        "spec:",
        f"  backoffLimit: {_FAILURES}",
        "  # Never two pods on one directory of checkpoints.",
        "  podReplacementPolicy: Failed",
        "  podFailurePolicy:",
        "    rules:",
        *_format_rules(),
        "  template:",
        "    spec:",
        "      restartPolicy: Never",
        f"      # The grace of the job ({grace:g} s), and {GRACE_MARGIN:g} s more.",
        f"      terminationGracePeriodSeconds: {_find_grace(source)}",
        "      # A new volume belongs to root; this is the group of the user in Perdure's own image.",
        "      securityContext:",
        f"        fsGroup: {_GROUP}",
        "      containers:",
        *_format_container(source, wishes),
        "      volumes:",
        *_format_volumes(name, wishes),
    ]


def _find_grace(source: Source) -> int:
    return math.ceil(source.spec.stop.grace + GRACE_MARGIN)


def _format_rules() -> list[str]:
    return [
        f"      # {exits.PERMANENT}: it is of no use to try again.",
        *_format_rule("FailJob", exits.PERMANENT),
        f"      # {exits.RUN_AGAIN}: saved, run me again.",
        *_format_rule("Ignore", exits.RUN_AGAIN),
        "      # Evicted, preempted, or its node was taken away.",
        "      - action: Ignore",
        "        onPodConditions:",
        "          - type: DisruptionTarget",
        '            status: "True"',
    ]


def _format_rule(action: str, status: int) -> list[str]:
    return [
        f"      - action: {action}",
        "        onExitCodes:",
        "          containerName: perdure",
        "          operator: In",
        f"          values: [{status}]",
    ]


def _format_container(source: Source, wishes: KubernetesWishes) -> list[str]:
    spec = source.spec
    file = format_string(str(PurePosixPath(wishes.workdir) / source.file_name))
    checkpoints = PurePosixPath(wishes.workdir) / spec.workdir / spec.checkpoint.dir
    return [
        "        - name: perdure",
        f"          image: {format_string(wishes.image)}",
        "          # No shell in between: as process 1 it would keep SIGTERM for itself. So no preStop hook is needed.",
        f'          command: ["perdure", "run", {file}]',
        f"          workingDir: {format_string(wishes.workdir)}",
        "          # A pod is not told its grace.",
        "          env:",
        "            - name: PERDURE_NOTICES_GRACE",
        f'              value: "{_find_grace(source)}s"',
        *_format_resources(source),
        "          volumeMounts:",
        "            - name: spec",
        f"              mountPath: {file}",
        f"              subPath: {_KEY}",
        "            - name: checkpoints",
        f"              mountPath: {format_string(str(checkpoints))}",
        "            # The workers of a DataLoader hand their batches through it; the usual 64 MiB are soon full.",
        "            - name: shared-memory",
        "              mountPath: /dev/shm",
    ]


def _format_volumes(name: str, wishes: KubernetesWishes) -> list[str]:
    return [
        "        - name: spec",
        "          configMap:",
        f"            name: {format_string(f'{name}-spec')}",
        "        - name: checkpoints",
        "          persistentVolumeClaim:",
        f"            claimName: {format_string(f'{name}-checkpoints')}",
        "        - name: shared-memory",
        "          emptyDir:",
        "            medium: Memory",
        f"            sizeLimit: {format_string(wishes.shared_memory)}",
    ]


def _format_resources(source: Source) -> list[str]:
    resources = source.spec.resources
    limits = [f"              nvidia.com/gpu: {resources.gpus}"] if resources.gpus else []
    if resources.memory:
        limits.append(f"              memory: {format_string(str(resources.memory))}")
    if not limits:
        return []
    head = "            # Shared memory and the memory tier count as its memory."
    return ["          resources:", head, "            limits:", *limits]
