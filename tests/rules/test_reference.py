"""Every key and every variable that is read stands in the reference: what a person cannot find is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from perdured.config import _File
from perdured.core.spec import Spec
from perdured.notices.settings import NoticeSettings
from support.sources import DAEMON, JOBS, ROOT, load_sources

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
NOTICES = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")
SPEC = REFERENCE.partition("## The spec")[2].partition("### ")[0]
_VARIABLE = re.compile(r"PERDURE_[A-Z0-9]+(?:_[A-Z0-9]+)*")
BETWEEN_PARTS = {"PERDURE_ATTEMPT_NONCE", "PERDURE_STANDBY"}
"""Those that one part of Perdure sets for another alone, and nobody else may count on."""


def list_keys(model: type[BaseModel], table: str = "") -> Iterator[tuple[str, str]]:
    """(table, key). What is a model within a table is written as text."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if not table and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from list_keys(inner, name)
        else:
            yield table, name


def list_variables() -> set[str]:
    """All that the two halves have in their sources as a whole string."""
    sources = [*load_sources(DAEMON, "perdured"), *load_sources(JOBS, "perdure")]
    texts = (node.value for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and _VARIABLE.fullmatch(text)}


@pytest.mark.parametrize(("table", "key"), list(list_keys(Spec)))
def test_every_key_of_a_spec_is_in_the_reference(table: str, key: str) -> None:
    section = SPEC.partition(f"[{table}]\n")[2].partition("\n[")[0] if table else SPEC.partition("\n[")[0]
    named = re.search(rf"^#? ?{key} = ", section, re.MULTILINE)
    assert named or re.search(rf"`\[{table}\][^`]*\b{key}\b", SPEC)


@pytest.mark.parametrize("key", [key for table, key in list_keys(_File) if not table])
def test_every_key_of_the_config_is_in_the_reference(key: str) -> None:
    section = REFERENCE.partition("## The daemon\n")[2].partition("\n## ")[0]
    assert f"`{key}`" in section


@pytest.mark.parametrize("key", NoticeSettings.model_fields)
def test_every_key_of_the_notices_is_on_their_page(key: str) -> None:
    assert re.search(rf"^{key} = |\b{key}\b", NOTICES.partition("## Settings")[2], re.MULTILINE)


@pytest.mark.parametrize("variable", sorted(list_variables() - BETWEEN_PARTS))
def test_every_variable_is_in_the_reference(variable: str) -> None:
    assert variable in REFERENCE or variable in NOTICES


def test_some_were_found() -> None:
    assert {"PERDURE_STATE_DIR", "PERDURE_RESUME_FROM"} <= list_variables()
    assert ("checkpoint", "every") in set(list_keys(Spec))
