"""The GPUs of this machine, as NVIDIA's driver tells of them through nvidia-ml-py, where that is installed.

A daemon that was itself given only some of them (CUDA_VISIBLE_DEVICES, as in a Slurm allocation) has no others to give.
Parts of a GPU (MIG) are not looked for; the config can name them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Gpu(NamedTuple):
    uuid: str
    name: str | None = None
    memory: int | None = None
    """Bytes."""
    bus: str | None = None
    """Its PCI address."""


def observe_gpus() -> tuple[Gpu, ...] | None:
    """In the driver's order; None where there is no driver, or nothing to ask it with. Takes up to a second."""
    return ask_driver(lambda nvml: tuple(_describe(nvml, number) for number in range(nvml.nvmlDeviceGetCount())))


def ask_driver(question: Callable[[Any], T]) -> T | None:
    """What `question` learns from the library; None where nothing can be learnt."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no driver, no library, another version of it: nothing is known
        return None
    try:
        return question(nvml)
    except Exception:  # noqa: BLE001 - the same
        return None
    finally:
        nvml.nvmlShutdown()


def _describe(nvml: Any, number: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(number)
    memory = nvml.nvmlDeviceGetMemoryInfo(device).total
    bus = nvml.nvmlDeviceGetPciInfo(device).busId
    return Gpu(_text(nvml.nvmlDeviceGetUUID(device)), _text(nvml.nvmlDeviceGetName(device)), int(memory), _text(bus))


def _text(value: str | bytes) -> str:
    """Older versions of the library give bytes."""
    return value.decode() if isinstance(value, bytes) else value


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Those that CUDA_VISIBLE_DEVICES lets through: numbers, or the beginnings of UUIDs; as CUDA does, up to the first
    that is none."""
    if visible is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for word in (part.strip() for part in visible.split(",")):
        fitting = [
            gpu for number, gpu in enumerate(gpus) if word and (word == str(number) or gpu.uuid.startswith(word))
        ]
        if len(fitting) != 1 or fitting[0] in chosen:
            break
        chosen += fitting
    return tuple(chosen)
