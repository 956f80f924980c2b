"""What a deputy is told of the settings of the machine's daemon: they are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdured.capacity import Limits
from perdured.config import Config


def describe_settings(config: Config) -> dict[str, object]:
    return {
        "on_stop": config.on_stop,
        "keepers": config.keepers,
        "limits": config.limits._asdict(),
    }


def parse_settings(told: Mapping[str, Any], state_dir: Path) -> Config:
    """It has no socket of its own."""
    limits: dict[str, Any] = dict(told["limits"])
    gpus = limits.pop("gpus")
    return Config(
        state_dir=state_dir.absolute(),
        socket=state_dir.absolute(),
        on_stop=told["on_stop"],
        limits=Limits(**limits, gpus=tuple(gpus) if gpus is not None else None),
        keepers=told["keepers"],
        run_as="daemon",
    )
