"""What must hold of the files of a clone: nothing of the machine they were written on, and pages that are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdured.cli.main import VERBS
from perdured.core.table import draw_states
from support.sources import ROOT, committed_files

# A letter of each in brackets, so that this file does not break its own rule.
OF_A_MACHINE = re.compile(
    r"(?<![\w.])/wor[k]/|/opt/(?:pyp[i]|wheel[s])|/root/[.]|pyp[i][.]org|pythonhoste[d]|download[.]pytorc[h]"
    r"|--(?:extra-)?index-ur[l]|--find-link[s]"
)


def find_machine_traces(text: str) -> list[str]:
    return [match.group() for match in OF_A_MACHINE.finditer(text)]


def test_no_file_names_a_path_or_host_of_the_machine_it_was_written_on() -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in committed_files()}
    assert len(texts) > 10
    traces = {str(path.relative_to(ROOT)): find_machine_traces(text) for path, text in texts.items()}
    assert not {name: found for name, found in traces.items() if found}


@pytest.mark.parametrize("text", ["cd /{}/main", "pip install --index-{} x", "https://{}.org/simple"])
def test_the_rule_sees_a_trace(text: str) -> None:
    assert any(find_machine_traces(text.format(word)) for word in ("work", "url", "pypi"))


def test_the_page_of_states_is_what_the_table_draws() -> None:
    """Draw it anew with `make docs`."""
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == draw_states()


def _in_code(page: Path) -> str:
    """What stands between the fences of a page, and between backticks."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", text)])


PAGES = ["README.md", "CONTRIBUTING.md", "daemon/README.md", "jobs/README.md", "systemd/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|[\s(])make (?:[A-Z]+=\S+ )?([a-z-]+)", _in_code(ROOT / page), flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"(?:^|\$ )perdure ([a-z-]+)", _in_code(ROOT / page), flags=re.MULTILINE))
    assert named <= set(VERBS)


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [path for path in committed_files() if path.suffix == ".md"]
    assert len(pages) > 5
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))]
    local = [(page, link) for page, link in links if "://" not in link]
    assert local
    assert not [f"{page.relative_to(ROOT)}: {link}" for page, link in local if not (page.parent / link).exists()]
