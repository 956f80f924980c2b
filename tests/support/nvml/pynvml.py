"""A driver without GPUs: what nvidia-ml-py would tell, read from FAKE_GPUS ("uuid@bus,uuid@bus"). Put its folder into
PYTHONPATH, and a daemon imports this in place of the real one."""

from __future__ import annotations

import os
from types import SimpleNamespace


class NVMLError(Exception):
    pass


def _load() -> list[SimpleNamespace]:
    words = [word for word in os.environ.get("FAKE_GPUS", "").split(",") if word]
    return [SimpleNamespace(uuid=uuid, bus=bus) for uuid, _, bus in (word.partition("@") for word in words)]


def nvmlInit() -> None:  # noqa: N802 - the library's own names, here and below
    if "FAKE_GPUS" not in os.environ:
        raise NVMLError("Driver Not Loaded")


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_load())


def nvmlDeviceGetHandleByIndex(index: int) -> SimpleNamespace:  # noqa: N802
    return _load()[index]


def nvmlDeviceGetUUID(device: SimpleNamespace) -> bytes:  # noqa: N802
    return str(device.uuid).encode()


def nvmlDeviceGetName(_device: SimpleNamespace) -> str:  # noqa: N802
    return "Fake GPU"


def nvmlDeviceGetMemoryInfo(_device: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=80 << 30)


def nvmlDeviceGetPciInfo(device: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(busId=device.bus)


def nvmlDeviceGetComputeRunningProcesses(_device: SimpleNamespace) -> list[SimpleNamespace]:  # noqa: N802
    return []
