"""What the command line writes, the standard library reads back."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.cli.toml import format_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

texts = st.text(st.characters(codec="utf-8"))
values = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.lists(texts)


@given(st.dictionaries(texts, values | st.dictionaries(texts, values)))
def test_every_table_is_read_back_as_it_was(table: dict[str, object]) -> None:
    assert tomllib.loads(format_toml(table)) == table


def test_what_toml_cannot_say_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(TypeError):
        format_toml({"at": object()})
