"""The managed job that a spec becomes, held against SkyPilot's own schemas."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from perdured.core.export.skypilot import SkyPilotWishes, format_skypilot
from perdured.core.export.source import Source
from perdured.core.spec_text import parse_spec

from .engine_schema import find_errors

SPEC = """
name = "gpt"
command = ["python", "train.py"]
[checkpoint]
remote = "s3://bucket/gpt"
[resources]
gpus = 2
memory = "16GiB"
"""


def export(file: str = "/home/me/run/gpt.toml", wishes: SkyPilotWishes | None = None) -> dict[str, Any]:
    source = Source(parse_spec(SPEC), file, "/home/me/run")
    task: dict[str, Any] = yaml.safe_load(format_skypilot(source, wishes or SkyPilotWishes("H100:2")))
    return task


@pytest.mark.parametrize("file", ["/home/me/run/gpt.toml", '/a "b": ü\n---/😀 x.toml'], ids=["plain", "wild"])
def test_the_schemas_of_skypilot_have_nothing_against_it(file: str) -> None:
    task = export(file)
    assert find_errors(task, "skypilot", "Task") == []
    assert find_errors(task["resources"], "skypilot", "Resources") == []


def test_the_schemas_do_find_what_is_wrong() -> None:
    task = export()
    assert len(find_errors({**task, "command": "x"}, "skypilot", "Task")) == 1
    assert len(find_errors({**task["resources"], "memory": []}, "skypilot", "Resources")) == 1


def test_it_is_brought_back_after_a_saved_end() -> None:
    resources = export()["resources"]
    assert resources["use_spot"] is True
    assert resources["job_recovery"]["recover_on_exit_codes"] == [75]


def test_it_asks_for_what_the_spec_asks_for() -> None:
    resources = export()["resources"]
    assert (resources["accelerators"], resources["memory"]) == ("H100:2", "18+")


def test_the_spec_is_run_from_the_folder_that_is_copied() -> None:
    task = export("/home/me/run/my spec.toml")
    assert task["workdir"] == "/home/me/run"
    assert task["run"] == "exec perdure run 'my spec.toml'\n"
