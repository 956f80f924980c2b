"""One operation, run once for each of its system calls with a fault at that call, and looked at afterwards.

The looking is done without faults, as the next process would: by the real reader, by comparing bytes, and by doing
the operation again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from perdured.contract.checkpoint import choose_checkpoint, list_checkpoints, quarantine, retain, retention
from perdured.contract.checkpoint.claims import find_highest_seq
from perdured.contract.checkpoint.layout import CheckpointName, format_name, parse_any_seq, parse_name
from perdured.contract.checkpoint.verify import verify_checkpoint
from support.crashes import load_tree
from support.faults import Fault, Kernel, Killed, Place, installed
from support.stores import commit, commit_large, debris_in, find_committed, is_whole, receive

SECOND = "step-000000000020-000002"


@dataclass(frozen=True)
class Outcome:
    """What the operation did under a fault; `root` is as it was left."""

    root: Path
    fault: Fault
    kernel: Kernel
    error: BaseException | None
    before: frozenset[str]  # what was in the root

    @property
    def is_clean(self) -> bool:
        """Nothing hindered the clean-up: the only fault was the one that made the operation fail."""
        return self.fault.way == "refuse" and not self.fault.forever


@dataclass(frozen=True)
class Sweep:
    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path], object]
    check: Callable[[Outcome], Iterator[str]]
    kernel: Callable[[Fault], Kernel] = Kernel


def find_complaints(sweep: Sweep, fault: Fault, scratch: Path) -> Iterator[str]:
    """Everything that is wrong after `fault` at each call in turn."""
    template = scratch / "template" / "root"
    sweep.prepare(template)
    for number, place in enumerate(list_places(sweep, template, scratch), 1):
        outcome = _run(sweep, template, scratch / "run", replace(fault, place=place))
        for complaint in (*_check_always(outcome), *sweep.check(outcome)):
            yield f"call {number} ({place}): {complaint}"
        shutil.rmtree(scratch / "run")


def list_places(sweep: Sweep, template: Path, scratch: Path) -> list[Place]:
    """Every call of the operation when nothing fails. The path is that of the later runs: a place has its file's."""
    outcome = _run(sweep, template, scratch / "run", Fault(at=0))
    shutil.rmtree(scratch / "run")
    assert outcome.error is None
    return outcome.kernel.places


def _run(sweep: Sweep, template: Path, place: Path, fault: Fault) -> Outcome:
    retention._verified.clear()
    root = place / "root"
    place.mkdir()
    if template.exists():
        shutil.copytree(template, root)
    before = frozenset(os.listdir(root)) if root.exists() else frozenset()
    with installed(sweep.kernel(fault)) as kernel:
        try:
            sweep.act(root)
        except (Exception, Killed) as error:  # noqa: BLE001  which one is for the check to say
            return Outcome(root, fault, kernel, error, before)
    return Outcome(root, fault, kernel, None, before)


def _check_always(outcome: Outcome) -> Iterator[str]:
    if outcome.error is not None and not isinstance(outcome.error, OSError | Killed):
        yield f"it raised {outcome.error!r}"
    if outcome.fault.place is not None and not outcome.kernel.has_struck:
        yield "the fault did not come about"
    if outcome.kernel.opened:
        yield f"it left open {outcome.kernel.opened}"


# What must hold --------------------------------------------------------------------------------------------------


def _is_intact(root: Path, step: int, seq: int) -> bool:
    tree = load_tree(root)
    checkpoint = find_committed(tree).get(format_name(CheckpointName(step, seq)))
    return checkpoint is not None and is_whole(checkpoint, step)


def check_commit(outcome: Outcome) -> Iterator[str]:
    """Step 10 was there, step 20 was being committed."""
    root, error = outcome.root, outcome.error
    if not _is_intact(root, 10, 1):
        yield "the older one was touched"
    choice = choose_checkpoint(root)
    step = choice.chosen.step if choice.chosen else None
    if choice.rejected or step not in (10, 20):
        yield f"step {step} is chosen, rejected {choice.rejected}"
    if step == 20 and choice.chosen and not is_whole(load_tree(choice.chosen.path), 20):
        yield "what is chosen is not whole"
    if error is None and step != 20:
        yield "it was reported and is not there"
    if isinstance(error, OSError) and not outcome.fault.forever and step != 10:
        yield "it failed and is there"
    # What others left is swept as well as it goes; what is its own must be gone.
    own = {name for name in debris_in(root) - outcome.before if parse_any_seq(name) == find_highest_seq(root)}
    if outcome.is_clean and own:
        yield f"it left {own}"
    yield from _check_next(root)


def _check_next(root: Path) -> Iterator[str]:
    before = {name.seq for text in load_tree(root) if (name := parse_name(text)) is not None}
    following = commit(root, 30)
    if following.seq in before or choose_checkpoint(root).chosen is None:
        yield "the next commit does not work"
    # A directory without COMMIT may be somebody's copy under way, so it stays.
    left = {name for name in debris_in(root) if parse_name(name) is None}
    if left:
        yield f"the next commit left {left}"
    if len([name for name in load_tree(root) if name.startswith(".seq-")]) != 1:
        yield "claims pile up"


def check_received(outcome: Outcome) -> Iterator[str]:
    """Step 10 was there, step 20 was being taken in from elsewhere; what was cut short is taken in the next time."""
    root = outcome.root
    choice = choose_checkpoint(root)
    step = choice.chosen.step if choice.chosen else None
    if not _is_intact(root, 10, 1) or choice.rejected or step not in (10, 20):
        yield f"step {step} is chosen, rejected {choice.rejected}"
    if outcome.error is None and step != 20:
        yield "it was reported and is not there"
    if step == 10:
        receive(root, 20, 7)
    if not _is_intact(root, 20, 7):
        yield "taking it in again does not work"
    yield from _check_next(root)


def check_first(outcome: Outcome) -> Iterator[str]:
    """The root was not there, step 10 was being committed."""
    choice = choose_checkpoint(outcome.root)
    step = choice.chosen.step if choice.chosen else None
    if choice.rejected or step not in (None, 10):
        yield f"step {step} is chosen, rejected {choice.rejected}"
    if (outcome.error is None) != (step == 10) and not outcome.fault.forever and not outcome.kernel.is_dead:
        yield f"step {step} is chosen after {outcome.error!r}"
    commit(outcome.root, 20)
    if choose_checkpoint(outcome.root).chosen is None:
        yield "the next commit does not work"


def check_retention(outcome: Outcome) -> Iterator[str]:
    """Steps 10 to 30 were there, two of them to be kept."""
    root = outcome.root
    if isinstance(outcome.error, OSError):
        yield f"it raised {outcome.error!r}"
    if not (_is_intact(root, 20, 2) and _is_intact(root, 30, 3)):
        yield "one to be kept is gone"
    broken = [listed.path.name for listed in list_checkpoints(root) if not verify_checkpoint(listed.path).is_valid]
    if broken:
        yield f"{broken} are half deleted"
    retention._verified.clear()
    retain(root, 2)
    if len(list_checkpoints(root)) != 2 or debris_in(root):
        yield "the next retention does not finish it"


def check_quarantine(outcome: Outcome) -> Iterator[str]:
    """Step 20 was to be set aside."""
    root = outcome.root
    if not _is_intact(root, 10, 1):
        yield "the other one was touched"
    places = [place for place in (root, root / "quarantine") if (place / SECOND).exists()]
    if len(places) != 1 or not is_whole(load_tree(places[0] / SECOND), 20):
        yield f"it is not in one place, whole: {places}"
    if outcome.error is None and places == [root]:
        yield "it was reported and not done"
    if places == [root]:
        quarantine(root / SECOND, "again")
        if choose_checkpoint(root).rejected or not (root / "quarantine" / SECOND).exists():
            yield "the next quarantine does not do it"


# What is done ----------------------------------------------------------------------------------------------------


def _prepare_nothing(root: Path) -> None:
    root.parent.mkdir(parents=True)


def _prepare_one(root: Path) -> None:
    commit(root, 10)


def _prepare_two(root: Path) -> None:
    commit(root, 10)
    commit(root, 20)


def _prepare_debris(root: Path) -> None:
    """One checkpoint, one killed writer, one killed retention, one claim too many."""
    commit(root, 10)
    for name in (".tmp-000002-0123456789ab", ".trash-000001-0123456789ab"):
        (root / name / "sub").mkdir(parents=True)
        (root / name / "sub" / "a.bin").write_bytes(b"half")
    (root / ".seq-000002").touch()


def _prepare_unmarked(root: Path) -> None:
    """One checkpoint, and one that a kill left with its name and without COMMIT."""
    commit(root, 10)
    receive(root, 20, 7)
    (root / "step-000000000020-000007" / "COMMIT").unlink()


def _prepare_three(root: Path) -> None:
    for step in (10, 20, 30):
        commit(root, step)


COMMIT = Sweep("commit", _prepare_one, lambda root: commit(root, 20), check_commit)
LARGE = replace(COMMIT, name="commit of several chunks", act=lambda root: commit_large(root, 20))
SWEEPS = [
    COMMIT,
    replace(COMMIT, name="commit in marker mode", kernel=partial(Kernel, has_noreplace=False)),
    LARGE,
    replace(LARGE, name="commit of a snapshot in memory", act=lambda root: commit_large(root, 20, are_images=True)),
    replace(LARGE, name="commit without O_DIRECT", kernel=partial(Kernel, has_direct=False)),
    replace(COMMIT, name="commit after a kill", prepare=_prepare_debris),
    Sweep("taking one in", _prepare_one, lambda root: receive(root, 20, 7, above=9), check_received),
    Sweep("taking one in after a kill", _prepare_unmarked, lambda root: receive(root, 20, 7), check_received),
    Sweep("first commit", _prepare_nothing, lambda root: commit(root, 10), check_first),
    Sweep("retention", _prepare_three, lambda root: retain(root, 2), check_retention),
    Sweep("quarantine", _prepare_two, lambda root: quarantine(root / SECOND, "a test"), check_quarantine),
]
