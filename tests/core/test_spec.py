"""What a spec may say, and what it means where it says nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perdured.core.spec import Backoff, Interval, Spec, list_unserved
from perdured.core.spec_text import InvalidSpec, parse_spec
from support.jobs import make_spec

# Copied from the design page, and what [health] has got since. `EXAMPLES` says which values are no defaults.
OF_THE_DESIGN_PAGE = """
name = "gpt"
command = ["python", "train.py"]     # argv; never a shell
workdir = "."
env = { OMP_NUM_THREADS = "2" }
fresh_start = false
priority = 0
after = ["prepare"]
group = "sweep"
parallel = 4
at = 2026-11-25T22:00:00Z

[checkpoint]
dir = "checkpoints"                  # relative to workdir
every = "auto"                       # "auto", "10min", "500 steps"
keep = 3
memory = true                        # memory tier
remote = "s3://bucket/run"           # last tier, optional
remote_keep = 3                      # there; by default as many as here
remote_limit = "20MiB"               # bytes a second that uploads may take
pattern = "out/ckpt-*.pt"            # for programs that write their own
resume_args = ["--resume", "{checkpoint}"]

[restart]
failures = 5                         # in a row without progress
backoff = "1s..5min"

[stop]
grace = "120s"
signal = "SIGTERM"

[health]
hang_after = "auto"                  # or a duration, or "never"
output_after = "never"
file = "out/train.log"
file_after = "30min"
non_finite = "restart"
skip_batches = false

[resources]
cpus = 0
gpus = 0
memory = "16GiB"

[ranks]
per_node = 1                         # more than one: torchrun
nodes = "1"

[standby]
enabled = true
preload = ["torch"]

[notify]
urls = []
"""
EXAMPLES: dict[str, Any] = {
    "name": None,
    "env": {},
    "after": [],
    "group": None,
    "parallel": None,
    "at": None,
    "checkpoint.remote": None,
    "checkpoint.remote_keep": None,
    "checkpoint.remote_limit": None,
    "checkpoint.pattern": None,
    "checkpoint.resume_args": [],
    "resources.memory": None,
    "health.file": None,
    "health.file_after": "never",
}


def _flatten(spec: Spec) -> dict[str, Any]:
    """Every value by its dotted key."""
    tables: dict[str, Any] = spec.model_dump(mode="json")
    flat = {key: value for key, value in tables.items() if not isinstance(value, dict) or key == "env"}
    return flat | {f"{k}.{inner}": v for k, t in tables.items() if k not in flat for inner, v in t.items()}


def test_each_default_is_the_value_of_the_design_page() -> None:
    page = _flatten(parse_spec(OF_THE_DESIGN_PAGE))
    assert set(EXAMPLES) <= set(page)
    assert _flatten(make_spec()) == page | EXAMPLES


def test_the_design_page_names_every_key() -> None:
    """Else a key could be added whose default no page tells."""
    names = set(re.findall(r"^(?:\[(\w+)\]|(\w+) =)", OF_THE_DESIGN_PAGE, flags=re.MULTILINE))
    named = {table or key for table, key in names}
    assert named == {part for key in _flatten(make_spec()) for part in key.split(".")}


def test_the_values_of_the_design_page_mean_what_they_say() -> None:
    spec = parse_spec(OF_THE_DESIGN_PAGE)
    assert spec.command == ("python", "train.py")
    assert spec.restart.backoff == Backoff(first=1.0, longest=300.0)
    assert spec.checkpoint.every == Interval()
    assert (spec.stop.grace, spec.stop.signal_number) == (120.0, 15)
    assert spec.resources.memory == 16 << 30


@pytest.mark.parametrize(
    ("every", "interval", "text"),
    [
        ("auto", Interval(), "auto"),
        ("10min", Interval(seconds=600.0), "600s"),
        ("1h30min", Interval(seconds=5400.0), "5400s"),
        ("20d", Interval(seconds=1_728_000.0), "1728000s"),
        ("250ms", Interval(seconds=0.25), "0.25s"),
        ("500 steps", Interval(steps=500), "500 steps"),
        ("1 step", Interval(steps=1), "1 steps"),
    ],
)
def test_an_interval_is_read_and_handed_to_the_script(every: str, interval: Interval, text: str) -> None:
    read = make_spec(f'[checkpoint]\nevery = "{every}"').checkpoint.every
    assert (read, read.as_text) == (interval, text)


@pytest.mark.parametrize(
    "text",
    [
        "[stop]\ngrace = 90",
        "[stop]\ngrace = 0",
        '[health]\nhang_after = "never"',
        '[health]\noutput_after = "30min"',
        '[health]\nfile = "train.log"\nfile_after = 90',
        '[health]\nnon_finite = "ignore"\nskip_batches = true',
        '[health]\nhang_after = "30min"',
        "[health]\nhang_after = 1800",
        '[stop]\nsignal = "SIGUSR1"',
        '[ranks]\nnodes = "1:4"',
        '[checkpoint]\nremote = "gs://bucket/run"',
        '[checkpoint]\nremote = "s3://bucket"',
        '[checkpoint]\nremote = "file:///mnt/nas/run"',
        '[checkpoint]\nremote = "az://c/r"\nremote_keep = 2\nremote_limit = "20MiB"',
        '[checkpoint]\npattern = "/data/**/ckpt-[0-9]*.pt"',
        '[checkpoint]\npattern = "checkpoint.pth"',
    ],
)
def test_a_right_value_is_taken(text: str) -> None:
    make_spec(text)


@pytest.mark.parametrize(
    "text",
    [
        '[checkpoint]\nevery = "0s"',
        '[checkpoint]\nevery = "0 steps"',
        '[checkpoint]\nevery = "often"',
        "[checkpoint]\nevery = 600",
        "[checkpoint]\nevery = { seconds = -1.0 }",
        "[checkpoint]\nevery = { steps = 0 }",
        "[checkpoint]\nkeep = 1",
        "[checkpoint]\nkeep = true",
        "[checkpoint]\nkeep = 2.0",
        "[checkpoint]\nkeep = 1_000_000_000_000",
        '[checkpoint]\ndir = ""',
        '[checkpoint]\nremote = "bucket/run"',
        '[checkpoint]\nremote = "s3:///run"',
        '[checkpoint]\nremote = "ftp://host/run"',
        '[checkpoint]\nremote = "s3://key:secret@bucket/run"',
        '[checkpoint]\nremote = "s3://bucket/run?versionId=1"',
        '[checkpoint]\nremote = "file://relative/run"',
        '[checkpoint]\nremote = "s3://b/r"\nremote_keep = 1',
        '[checkpoint]\nremote = "s3://b/r"\nremote_limit = "0B"',
        '[checkpoint]\nremote_limit = "20MiB"',
        "[checkpoint]\nremote_keep = 3",
        '[checkpoint]\npattern = ""',
        '[checkpoint]\npattern = "out/"',
        '[checkpoint]\npattern = "out/**"',
        '[checkpoint]\npattern = "out**/x.pt"',
        '[checkpoint]\npattern = ".."',
        "[restart]\nfailures = 0",
        '[restart]\nbackoff = "5s"',
        '[restart]\nbackoff = "5min..1s"',
        '[restart]\nbackoff = "0s..1s"',
        "[restart]\nbackoff = { first = -1.0, longest = 2.0 }",
        "[restart]\nbackoff = { first = 3.0, longest = 2.0 }",
        "[restart]\nbackoff = { first = nan, longest = 2.0 }",
        '[stop]\ngrace = "-1s"',
        "[stop]\ngrace = inf",
        "[stop]\ngrace = nan",
        "[stop]\ngrace = true",
        f'[stop]\ngrace = "{"9" * 30}d"',
        '[stop]\nsignal = "SIGKILL"',
        '[stop]\nsignal = "SIGSTOP"',
        '[stop]\nsignal = "TERM"',
        "[stop]\nsignal = 15",
        '[health]\nhang_after = "sometimes"',
        "[health]\nhang_after = 0",
        '[health]\noutput_after = "auto"',
        '[health]\nfile = "train.log"',
        '[health]\nfile_after = "1h"',
        '[health]\nnon_finite = "stop"',
        "[resources]\ngpus = -1",
        '[resources]\nmemory = "0GiB"',
        '[ranks]\nnodes = "0"',
        '[standby]\nenabled = "yes"',
    ],
)
def test_a_wrong_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        make_spec(text)


@pytest.mark.parametrize("name", ["-x", "", "a b", "a/b", "x" * 65, ".hidden", "gpt\\n", "é"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidSpec):
        make_spec(f'name = "{name}"')


@pytest.mark.parametrize(
    "text",
    [
        'command = ["a\\u0000b"]',
        'command = ["a"]\nworkdir = "x\\u0000"',
        'command = ["a"]\nenv = { A = "\\u0000" }',
        'command = ["a"]\nenv = { "A\\u0000" = "1" }',
        'command = ["a"]\nenv = { "A=B" = "1" }',
        'command = ["a"]\nenv = { "" = "1" }',
        'command = ["a"]\ncheckpoint.dir = "x\\u0000"',
        'command = ["a"]\ncheckpoint.pattern = "x\\u0000"',
    ],
)
def test_what_no_process_could_be_given_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec(text)


@pytest.mark.parametrize("command", ['"python train.py"', "[]", "[1]", "3", "{}", '[["python"]]'])
def test_a_command_is_a_list_of_words(command: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec(f"command = {command}")


@pytest.mark.parametrize("line", ['resume_args = ["--resume"]\npattern = "x.pt"', 'resume_args = ["{checkpoint}"]'])
def test_arguments_to_resume_with_need_a_pattern_and_the_checkpoint(line: str) -> None:
    with pytest.raises(InvalidSpec, match=r"checkpoint\.resume_args"):
        make_spec(f"[checkpoint]\n{line}")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "train.py"], "train"),
        (["python", "-u", "jobs/examples/train_gpt.v2.py", "--lr", "1"], "train_gpt.v2"),
        (["./run.sh"], "run"),
        (["/usr/bin/true"], "true"),
        (["torchrun", "-m", "mod"], "torchrun"),
        (["trén x"], "tr-n-x"),
        ([".-_"], "job"),
        (["x" * 100], "x" * 64),
    ],
)
def test_a_job_without_a_name_is_named_after_its_script(command: list[str], name: str) -> None:
    assert parse_spec(f"command = {json.dumps(command)}").job_name == name


words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


@given(st.lists(words, min_size=1))
def test_every_job_gets_a_name_that_could_have_been_given(command: list[str]) -> None:
    name = Spec(command=tuple(command)).job_name
    assert Spec(command=("x",), name=name).job_name == name


seconds = st.floats(min_value=0.001, max_value=1e9)
specs = st.builds(
    lambda **changes: Spec.model_validate({"command": ("x",), **changes}),
    command=st.lists(words, min_size=1).map(tuple),
    name=st.none() | st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
    env=st.dictionaries(words.filter(lambda name: name != "" and "=" not in name), words),
    fresh_start=st.booleans(),
    checkpoint=st.fixed_dictionaries(
        {
            "every": st.one_of(
                st.just("auto"),
                st.builds(lambda n: f"{n} steps", st.integers(1, 10**12)),
                st.builds(lambda s: f"{s:.3f}s", seconds),
            ),
            "keep": st.integers(2, 10**9),
        }
    ),
    stop=st.fixed_dictionaries({"grace": st.floats(0, 1e9), "signal": st.sampled_from(["SIGTERM", "SIGINT"])}),
    health=st.fixed_dictionaries({"hang_after": st.sampled_from(["auto", "never"]) | seconds}),
    restart=st.fixed_dictionaries({"backoff": st.builds(lambda s: {"first": s / 2, "longest": s}, seconds)}),
)


@given(specs)
def test_a_spec_survives_being_stored(spec: Spec) -> None:
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert Spec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError):
        make_spec().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[ranks]\nper_node = 2", "ranks"),
        ('[ranks]\nnodes = "2"', "ranks"),
        ('[notify]\nurls = ["https://ntfy.sh/x"]', "notify.urls"),
    ],
)
def test_what_is_asked_for_and_not_served_is_said(text: str, key: str) -> None:
    assert [line.partition(":")[0] for line in list_unserved(make_spec(text))] == [key]


def test_all_that_is_asked_for_by_default_is_served() -> None:
    assert list_unserved(make_spec()) == []
    assert list_unserved(make_spec("[standby]\nenabled = true")) == []
