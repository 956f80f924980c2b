"""Which sources of notices are here, and why the others are not.

In no cloud no request is made: the firmware's own words come first, and only the service of the cloud that they name is
asked. Where the firmware says nothing at all (some containers hide it) the settings have to name the cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.core.notices.cloud import DMI_FILES, Cloud, find_cloud
from perdured.core.notices.gcp import GPU_MAINTENANCE_WINDOW, MAINTENANCE_WINDOW
from perdured.core.notices.notice import SourceName
from perdured.core.notices.status import SourceStatus

from .aws import Aws
from .azure import Azure
from .eyes import Eyes, Source
from .folder import Folder
from .gcp import Gcp
from .logind import RUNNING, Logind
from .settings import NoticeSettings
from .slurm import Slurm
from .spoken import Spoken
from .termination import Alibaba, Tencent

DMI = Path("/sys/class/dmi/id")
_GPUS = (Path("/dev/nvidia0"), Path("/dev/kfd"))
_CLOUDS: tuple[Cloud, ...] = ("aws", "gcp", "azure", "alibaba", "tencent")
CloudSource = Aws | Gcp | Azure | Alibaba | Tencent


class Surroundings(NamedTuple):
    """What tells which sources there are."""

    env: Mapping[str, str]
    dmi: Mapping[str, str]
    has_gpu: bool = False
    has_systemd: bool = False


class Here(NamedTuple):
    """What the sources need of the daemon."""

    folder: Path
    """Where notices are looked for if the settings name no other place."""
    is_safe: Callable[[], bool]
    """Whether every job has saved what it could."""


class Sources(NamedTuple):
    folder: Folder
    spoken: Spoken
    logind: Logind | None
    slurm: Slurm | None
    cloud: CloudSource | None
    absent: tuple[SourceStatus, ...]

    @property
    def here(self) -> tuple[Source, ...]:
        every: tuple[Source | None, ...] = (self.folder, self.spoken, self.logind, self.slurm, self.cloud)
        return tuple(source for source in every if source is not None)


def observe_surroundings(env: Mapping[str, str]) -> Surroundings:
    return Surroundings(env, _read_dmi(), any(path.exists() for path in _GPUS), RUNNING.is_dir())


def find_sources(settings: NoticeSettings, around: Surroundings, here: Here, eyes: Eyes) -> Sources:
    cloud = find_cloud(around.dmi) if settings.cloud == "auto" else settings.cloud
    job = around.env.get("SLURM_JOB_ID")
    in_pod = "KUBERNETES_SERVICE_HOST" in around.env
    absent = [_say_absent(name, settings, around) for name in _CLOUDS if name != cloud]
    if job is None:
        absent.append(SourceStatus("slurm", "not_here", "there is no SLURM_JOB_ID in the environment"))
    if not around.has_systemd:
        absent.append(SourceStatus("systemd", "not_here", f"there is no {RUNNING}: another init"))
    if not in_pod:
        absent.append(SourceStatus("kubernetes", "not_here", "this is no pod"))
    return Sources(
        Folder(settings.folder or here.folder, eyes),
        Spoken("kubernetes", "SIGTERM", settings.grace, eyes)
        if in_pod
        else Spoken("signal", settings.signal, settings.grace, eyes),
        Logind(eyes, here.is_safe) if around.has_systemd else None,
        Slurm(job, eyes, around.env) if job is not None else None,
        _make_cloud(cloud, settings, around, eyes),
        tuple(absent),
    )


def _make_cloud(cloud: str | None, settings: NoticeSettings, around: Surroundings, eyes: Eyes) -> CloudSource | None:
    if cloud == "aws":
        return Aws(settings.aws_url, eyes)
    if cloud == "azure":
        return Azure(settings.azure_url, eyes)
    if cloud == "alibaba":
        return Alibaba(settings.alibaba_url, eyes)
    if cloud == "tencent":
        return Tencent(settings.tencent_url, eyes)
    if cloud == "gcp":
        maintenance = GPU_MAINTENANCE_WINDOW if around.has_gpu else MAINTENANCE_WINDOW
        return Gcp(settings.gcp_url, eyes, settings.gcp_window, maintenance)
    return None


def _say_absent(name: SourceName, settings: NoticeSettings, around: Surroundings) -> SourceStatus:
    if settings.cloud != "auto":
        why = f"notices.cloud says {settings.cloud!r}"
    elif not around.dmi:
        why = f"nothing in {DMI} says where this machine is; notices.cloud may"
    else:
        why = "this machine's firmware names another maker"
    return SourceStatus(name, "not_here", why)


def _read_dmi() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in DMI_FILES:
        try:
            found[name] = (DMI / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return found
