"""Looks at what this machine is part of: a Slurm allocation, a systemd, a container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from perdured.config import override_notices
from perdured.core.doctor.containers import ContainerSeen
from perdured.core.doctor.slurm import SlurmSeen, make_slurm_seen, parse_fields
from perdured.core.doctor.systemd import SystemdSeen, find_unit, parse_delay, parse_span
from perdured.notices.settings import NoticeSettings

from .commands import ask

_BATCH = 0xFFFFFFF0
"""Above that are the numbers that Slurm gives to what is no step of srun: the batch script and others."""
_LOGIND = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind reads, in the order of their weight."""


def observe_slurm(environment: Mapping[str, str]) -> SlurmSeen | None:
    job = environment.get("SLURM_JOB_ID")
    if not job:
        return None
    job_text = ask("scontrol", "show", "job", job)
    partition = environment.get("SLURM_JOB_PARTITION") or parse_fields(job_text).get("Partition", "")
    return make_slurm_seen(
        job,
        is_step=_is_step(environment.get("SLURM_STEP_ID", "")),
        config=ask("scontrol", "show", "config"),
        job_text=job_text,
        partition=ask("scontrol", "show", "partition", partition) if partition else "",
    )


def _is_step(number: str) -> bool:
    return number.isdecimal() and int(number) < _BATCH


def observe_systemd(daemon: int | None) -> SystemdSeen | None:
    """`daemon` is its pid; None: there is none. None where systemd does not run."""
    if not Path("/run/systemd/system").is_dir():
        return None
    unit = find_unit(_read(Path(f"/proc/{daemon}/cgroup"))) if daemon is not None else None
    return SystemdSeen(parse_delay(read_logind(Path("/"))), unit, _ask_stop_timeout(unit) if unit else None)


def read_logind(root: Path) -> list[str]:
    """logind's own file, then the drop-ins by their names, those of /etc over those of the same name elsewhere."""
    main = [root / place / "logind.conf" for place in _LOGIND]
    found = [path for path in main if path.is_file()][-1:]
    drop_ins = {path.name: path for place in _LOGIND for path in (root / place / "logind.conf.d").glob("*.conf")}
    return [_read(path) for path in (*found, *(drop_ins[name] for name in sorted(drop_ins)))]


def observe_container(environment: Mapping[str, str]) -> ContainerSeen | None:
    is_pod = "KUBERNETES_SERVICE_HOST" in environment
    marks = ("/.dockerenv", "/run/.containerenv")
    if not is_pod and not any(os.path.exists(mark) for mark in marks):
        return None
    grace = override_notices(NoticeSettings(), environment).grace
    first = _read(Path("/proc/1/comm")).strip() or "unknown"
    return ContainerSeen("pod" if is_pod else "container", first, grace)


def _ask_stop_timeout(unit: str) -> float | None:
    for scope in ("--system", "--user"):
        said = ask("systemctl", scope, "show", unit, "--property=LoadState", "--property=TimeoutStopUSec")
        fields = parse_fields(said)
        if fields.get("LoadState") == "loaded":
            return parse_span(said.partition("TimeoutStopUSec=")[2].partition("\n")[0])
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
