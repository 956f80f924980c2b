"""What is said about a text that is no spec: the line, the key, what was found and what would be right."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdured.core.spec import Spec
from perdured.core.spec_text import InvalidSpec, SpecError, parse_spec
from support.jobs import make_spec


def errors_of(text: str) -> list[SpecError]:
    with pytest.raises(InvalidSpec) as raised:
        parse_spec(text)
    assert raised.value.errors
    return raised.value.errors


def messages_of(text: str) -> list[str]:
    return [str(error) for error in errors_of(text)]


COMMAND = 'a list of words such as ["python", "train.py"]; there is no shell in between'
SIGNAL = 'a signal that a process can act on, such as "SIGTERM", "SIGINT" or "SIGUSR1"'
NAME = 'up to 64 letters, digits, ".", "_" or "-", beginning with a letter or digit, such as "gpt"'
BUDGET = "a whole number, 1 or more: failures in a row without progress before giving up"


@pytest.mark.parametrize(
    ("text", "where", "found", "right"),
    [
        ('[restart]\n# why not\nfailures = "five"', "line 4: restart.failures", '"five"', BUDGET),
        (
            "[checkpoint]\nkeep = 1",
            "line 3: checkpoint.keep",
            "1",
            "a whole number, 2 or more: how many checkpoints to ",
        ),
        ("checkpoint = 3", "line 2: checkpoint", "3", "a table: [checkpoint]"),
        ('[stop]\nsignal = "SIGKILL"', "line 3: stop.signal", '"SIGKILL"', SIGNAL),
        ("env = { THREADS = 2 }", "line 2: env.THREADS", "2", "text for each name, such as { OMP_NUM_THREADS = "),
        ('[restart]\nbackoff = "5s"', "line 3: restart.backoff", '"5s"', 'a range of durations such as "1s..5min"'),
        (
            '[restart]\nbackoff = "5min..1s"',
            "line 3: restart.backoff",
            '"5min..1s"',
            'a range of durations such as "1s..5min"',
        ),
        ('[checkpoint]\nevery = "0s"', "line 3: checkpoint.every", '"0s"', '"auto", a duration such as "10min"'),
        ("fresh_start = 1979-05-27", "line 2: fresh_start", "1979-05-27", "true or false"),
        ("workdir = [07:32:00, { a = 1 }]", "line 2: workdir", '["07:32:00", {"a": 1}]', 'a directory such as "."'),
        ("name = {}", "line 2: name", "a table", NAME),
    ],
)
def test_a_wrong_value_is_told_by_line_key_finding_and_remedy(text: str, where: str, found: str, right: str) -> None:
    (message,) = messages_of(f'command = ["x"]\n{text}')
    assert message.startswith(f"{where}: found {found}; it must be {right}")


def test_a_command_that_is_missing_or_a_text_is_told() -> None:
    assert messages_of("") == [f"command: is missing; it must be {COMMAND}"]
    assert messages_of('command = "a b"') == [f'line 1: command: found "a b"; it must be {COMMAND}']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('comand = ["x"]', 'line 2: comand: unknown key; did you mean "command"?'),
        ("[checkpont]\nkeep = 3", 'line 2: checkpont: unknown key; did you mean "checkpoint"?'),
        ("[restart]\nfailure = 3", 'line 3: restart.failure: unknown key; did you mean "failures"?'),
        ("keep = 3", 'line 2: keep: unknown key here; did you mean "checkpoint.keep"?'),
        ("[stop]\nfailures = 3", 'line 3: stop.failures: unknown key here; did you mean "restart.failures"?'),
        ("[stop]\nzzz = 3", "line 3: stop.zzz: unknown key; known here: grace, signal"),
        ('stop."a b\\n" = 3', 'line 2: stop."a b\\n": unknown key; known here: grace, signal'),
        ("checkpoint.every.days = 3", "line 2: checkpoint.every.days: unknown key; known here: seconds, steps"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(text: str, message: str) -> None:
    assert messages_of(f'command = ["x"]\n{text}') == [message]


def test_keys_that_disagree_are_told_with_the_reason() -> None:
    text = 'command = ["x"]\n[checkpoint]\nresume_args = ["--resume", "{checkpoint}"]'
    assert messages_of(text) == [
        "line 3: checkpoint.resume_args: works together with `pattern`, which names the files to resume from"
    ]


def test_all_errors_are_told_at_once_in_the_order_of_the_text() -> None:
    text = """
name = "a b"
comand = ["x"]
[restart]
failures = 0
bakoff = "1s..2s"
[stop]
grace = "long"
"""
    errors = errors_of(text)
    assert [(error.line, error.key) for error in errors] == [
        (None, "command"),
        (2, "name"),
        (3, "comand"),
        (5, "restart.failures"),
        (6, "restart.bakoff"),
        (8, "stop.grace"),
    ]


def test_a_value_that_fits_none_of_two_kinds_is_one_error() -> None:
    assert len(errors_of('command = ["x"]\n[health]\nhang_after = "soon"')) == 1


LINES = [
    pytest.param("[restart]\nfailures = 0", 2, id="a header and a key"),
    pytest.param("\n# x\n[ restart ] # y\n\n  failures   = 0 # z", 5, id="blanks and comments"),
    pytest.param("restart.failures = 0", 1, id="a dotted key"),
    pytest.param("restart . failures = 0", 1, id="a dotted key with blanks"),
    pytest.param("\"restart\".'failures' = 0", 1, id="quoted keys"),
    pytest.param('["restart"]\n"failures" = 0', 2, id="a quoted header"),
    pytest.param("name = 'x'\nrestart = { failures = 0 }", 2, id="an inline table"),
    pytest.param('env.A = "[restart]"\nrestart.failures = 0', 2, id="a header in a text"),
    pytest.param('env.A = """\n[restart]\nfailures = 0\n"""\n[restart]\nfailures = 0', 6, id="a spec in a long text"),
    pytest.param("env.A = '''\nfailures = 0'''\n[restart]\nfailures = 0", 4, id="a key in a long text"),
    pytest.param(
        'standby.preload = [\n  "[restart]",\n  "failures = 1", # ]\n]\nrestart.failures = 0', 5, id="an array"
    ),
    pytest.param("[stop]\ngrace = 1\n[restart]\nfailures = 0", 4, id="another table first"),
    pytest.param("name = 'x'\r\n[restart]\r\nfailures = 0\r\n", 3, id="lines that end as in Windows"),
    pytest.param("env.A = 'a\u2028b'\n[restart]\nfailures = 0", 3, id="what only Unicode calls a new line"),
]


@pytest.mark.parametrize(("text", "line"), LINES)
def test_the_line_is_found_however_the_key_is_written(text: str, line: int) -> None:
    errors = errors_of(f"{text}\n")
    assert [error.line for error in errors if error.key == "restart.failures"] == [line]


def test_an_array_over_several_lines_is_told_at_its_first() -> None:
    assert errors_of('name = "x"\ncommand = [\n  "python",\n  3,\n]')[0].line == 2


def test_a_wrong_key_in_a_table_that_stands_twice_as_array_is_told() -> None:
    assert errors_of('command = ["x"]\n[[stop]]\ngrace = 1\n[[stop]]\ngrace = 2')[0].line == 2


def test_a_statement_of_very_many_lines_costs_no_time_and_only_its_lines() -> None:
    """Each line of it is tried as an end: without a limit a long list would take minutes."""
    long = "env.A = '''" + "\n" * 20_000 + "'''\n"
    assert [(error.line, error.key) for error in errors_of(f'command = ["x"]\n{long}restart.failures = 0\n')] == [
        (None, "restart.failures")
    ]


def test_very_many_errors_are_cut_short() -> None:
    text = 'command = ["x"]\n' + "".join(f"key{n} = {n}\n" for n in range(1000))
    assert 20 <= len(errors_of(text)) <= 100


def test_a_long_value_is_quoted_in_part() -> None:
    (message,) = messages_of(f'command = ["x"]\nname = "{"y" * 10_000}"')
    assert len(message) < 400


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('command = ["x"\nname = 3', 2, "this is not TOML"),
        ("command = [x]", 1, "this is not TOML"),
        ('command = ["x"]\ncommand = ["y"]', 2, "this is not TOML"),
        ('command = ["x"]\n[stop]\n[stop]', 3, "this is not TOML"),
        ('name = "x', 1, "this is not TOML"),
        ("command = " + "[" * 5000, None, "this is nested too deeply"),
        (f"[stop]\ngrace = {'9' * 5000}", None, "this cannot be read"),
        ('name = "\ud800"', None, "this is not TOML"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(text: str, line: int | None, what: str) -> None:
    (error,) = errors_of(text)
    if line is not None and "end of document" not in error.what:
        assert error.line == line
    assert (error.key, error.what.partition(":")[0]) == ("", what)


def test_a_number_too_large_to_be_written_is_told() -> None:
    """Python reads a hexadecimal of any length and refuses to write it in decimals."""
    assert sys.get_int_max_str_digits() > 0
    text = f'command = ["x"]\nname = 0x{"f" * 5000}\nrestart.failures = 0x{"f" * 5000}'
    assert all("found a number of thousands of digits" in message for message in messages_of(text))


keys = st.sampled_from(
    [*Spec.model_fields, "checkpoint.every", "restart.backoff", "restart.failures", "stop.grace", "stop", "x", '"a b"']
)
values = st.recursive(
    st.sampled_from(
        ["1", "-1", "true", "nan", "inf", '"x"', '"1s"', '"1s..2s"', "1979-05-27", "07:32:00", "0xffff", "1e400", '""']
    )
    | st.from_regex(r"\A[0-9]{1,400}\Z"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"k{i} = {v}" for i, v in enumerate(items)) + "}"
        )
    ),
    max_leaves=5,
)
lines = st.one_of(
    st.builds("{} = {}".format, keys, values),
    st.builds("[{}]".format, keys),
    st.builds("[[{}]]".format, keys),
    st.text(max_size=20),
    st.just('command = ["x"]'),
)
texts = st.lists(lines, max_size=8).map("\n".join) | st.text()


@given(texts)
@example("")
@example("\x00")
@example("[stop]\ngrace = 1e400")
def test_any_text_is_a_spec_or_is_told_why_not(text: str) -> None:
    """Nothing but InvalidSpec is ever raised, each error has something to say, and its line exists."""
    try:
        spec = parse_spec(text)
    except InvalidSpec as invalid:
        errors = invalid.errors
    else:
        assert Spec.model_validate_json(spec.model_dump_json()) == spec
        return
    assert errors
    assert all(error.what for error in errors)
    assert all(error.line is None or 1 <= error.line <= text.count("\n") + 1 for error in errors)


@given(st.sampled_from(["failures = 0", "bogus = 1"]), st.lists(st.sampled_from(["", "# x", "  "]), max_size=30))
def test_a_key_is_found_under_any_number_of_lines(key: str, before: list[str]) -> None:
    text = "\n".join(['command = ["x"]', *before, "[restart]", key])
    assert errors_of(text)[0].line == text.count("\n") + 1


def test_the_smallest_spec_is_a_command() -> None:
    assert make_spec().command == ("python", "train.py")


def test_a_key_of_thousands_of_parts_is_refused_before_it_is_parsed() -> None:
    """The parser's memory grows with their square: 80 KB would take 6 GB."""
    with pytest.raises(InvalidSpec, match="over 1000 dots"):
        parse_spec("command = ['x']\n" + "a." * 40_000 + "b = 1\n")
