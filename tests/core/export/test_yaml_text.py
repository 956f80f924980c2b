"""Whatever somebody wrote comes back out of the YAML as it was."""

from __future__ import annotations

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from perdured.core.export.yaml_text import format_string, format_text

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts)
@example("a: b # no comment")
@example("\\ud83d \U0001f600 \x85 \u2028 \x00")
def test_a_string_comes_back_as_it_was(text: str) -> None:
    assert "\n" not in format_string(text)
    assert yaml.safe_load(f"key: {format_string(text)}") == {"key": text}


@given(texts | st.lists(st.sampled_from(["a", " b", "", "c ", "\td", "# e", "---"])).map("\n".join))
@example("a = 1\n\n[b]\nc = 2\n")
@example(" a\n")
@example("a\n\n")
@example("")
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert yaml.safe_load("\n".join(["data:", *format_text("key", text, "  ")]) + "\n") == {"data": {"key": text}}


def test_a_spec_as_people_write_it_stays_readable() -> None:
    assert format_text("key", "a = 1\n\n[b]\n", "  ") == ['  "key": |', "    a = 1", "", "    [b]"]
