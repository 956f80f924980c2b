"""What the bucket holds of a job, and how another host takes it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.fleet.posting import Posting, find_lack, make_posting, take_up
from perdured.state.submission import Submission
from support.jobs import NOW, make_record, make_spec

HOME = Path("/home/new")
SUBMITTER = {"HOME": "/home/me", "PATH": "/bin", "WANDB_API_KEY": "k-1"}
SPEC = make_spec('env = { OMP_NUM_THREADS = "2", HF_TOKEN = "t-1" }')


def post(workdir: str = "/home/me/run") -> Posting:
    posting = make_posting(Submission(SPEC, {**SUBMITTER, **SPEC.env}, workdir), make_record(id="job"))
    return Posting.model_validate_json(posting.model_dump_json())


def test_no_secret_and_nothing_of_the_submitters_environment_is_carried() -> None:
    text = post().model_dump_json()
    assert "t-1" not in text
    assert "k-1" not in text
    assert "/bin" not in text
    assert post().spec.env == {"OMP_NUM_THREADS": "2"}
    assert post().withheld == ("HF_TOKEN",)


def test_a_job_gets_the_environment_of_the_daemon_that_takes_it() -> None:
    """With the spec's own over it, and without what says something of the daemon itself."""
    daemon = {
        "PATH": "/new",
        "HF_TOKEN": "t-2",
        "OMP_NUM_THREADS": "8",
        "NOTIFY_SOCKET": "/n",
        "PERDURE_STATE_DIR": "/s",
    }
    taken = take_up(post(), daemon, HOME)
    assert taken.env == {"PATH": "/new", "HF_TOKEN": "t-2", "OMP_NUM_THREADS": "2"}
    assert taken.spec.env == {"OMP_NUM_THREADS": "2", "HF_TOKEN": "t-2"}


@pytest.mark.parametrize(
    ("workdir", "found"), [("/home/me/run", "/home/new/run"), ("/data/run", "/data/run"), ("/home/mean", "/home/mean")]
)
def test_a_workdir_below_the_home_is_looked_for_below_the_new_home(workdir: str, found: str) -> None:
    assert take_up(post(workdir), {}, HOME).workdir == found


@pytest.mark.parametrize(
    ("env", "folders", "programs", "says"),
    [
        ({}, ["/home/new/run"], ["python"], "HF_TOKEN of its env is not carried"),
        ({"HF_TOKEN": "t"}, [], ["python"], "there is no /home/new/run here"),
        ({"HF_TOKEN": "t"}, ["/home/new/run"], [], "its command python is not here"),
        ({"HF_TOKEN": "t"}, ["/home/new/run"], ["python"], None),
    ],
)
def test_what_a_host_lacks_is_said(
    env: dict[str, str], folders: list[str], programs: list[str], says: str | None
) -> None:
    posting = post()
    posting = posting.model_copy(update={"spec": posting.spec.model_copy(update={"command": ("python", "t.py")})})
    taken = take_up(posting, env, HOME)
    lack = find_lack(posting, taken, folders.__contains__, lambda name, _: name if name in programs else None)
    assert says is None if lack is None else says is not None and says in lack


def test_a_command_with_a_path_is_looked_for_from_the_workdir() -> None:
    spec = make_spec().model_copy(update={"command": (".venv/bin/python", "t.py")})
    posting = make_posting(Submission(spec, {}, "/data/run"), make_record(submitted_at=NOW))
    looked: list[str] = []
    find_lack(posting, take_up(posting, {}, HOME), lambda _: True, lambda name, _: looked.append(name))
    assert looked == ["/data/run/.venv/bin/python"]
