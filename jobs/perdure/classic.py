"""`perdure.save` and `perdure.load`: torch.save and torch.load, but whole or not at all, durable, and verified.

    out/checkpoint.pth                                        what `save` was given: always the newest, as one file
    out/checkpoint.pth.checkpoints/step-…/checkpoint.pth      the same file (a hard link), committed with its hashes

Under Perdure the checkpoints lie in the job's own directory (PERDURE_CHECKPOINT_DIR) instead. The file at `path` is
for other tools; `load` trusts only what was committed. So do not write to `path` by other means: through the link that
would damage the checkpoint, which is then found out, and the one before it used.

**Stopping.** Under Perdure, and only there, the first `save` or `load` takes over SIGTERM, unless the script handles it
itself: the process ends with status 75 after the next completed `save`. A script that never saves again is killed when
its grace is over; one that comes to its end first, ends as it would have.

**Notices.** While the machine may be taken away, such a script stands still at the end of its next completed `save`,
and goes on from there if the notice is withdrawn. See `supervisor`.
"""

from __future__ import annotations

import functools
import glob
import os
from pathlib import Path
from typing import Any

from perdure import directory
from perdure.directory import Found
from perdure.errors import Misuse, SaveFailed, tell
from perdure.files import replace_by_link
from perdure.health import Health
from perdure.settings import load_keep
from perdure.supervisor import Supervisor
from perdured.contract import environment
from perdured.contract.checkpoint.layout import QUARANTINE

_MISSING: Any = object()


def save(obj: object, path: str | os.PathLike[str], *, step: int | None = None, keep: int | None = None) -> None:
    """Save as `torch.save(obj, path)` does, durably: when this returns, no crash can take it back.

    Args:
        obj: tensors and plain values, in dicts, lists and tuples: what `torch.load(weights_only=True)` loads.
        path: afterwards holds the newest, in torch.save's own format.
        step: orders the checkpoints. If not given: `obj["step"]`, else `obj["epoch"]`, else one more than the last.
        keep: how many to keep; never fewer than two. If not given: what the job's spec says, else 3.

    Errors: CannotSave for an object that could not be loaded again; SaveFailed if the storage refuses it. What was
    saved before is untouched then. Under Perdure it exits with status 75 after the save if the job is to stop, and does
    not return before a notice is withdrawn, if the machine is about to be taken away.
    """
    from perdure import pickles, streamed

    place = _Place(path)
    keep = load_keep(keep)
    supervisor = _supervisor()
    pickles.check_loadable(obj)
    step = _choose_step(obj, step, place)
    supervisor.announce(step)
    facts = directory.make_facts(place.series, healthy=_is_healthy(obj, step))
    try:
        committed = directory.commit(place.root, step, {place.series: streamed.stream_saved(obj)}, facts)
    except OSError as error:
        todo = "Mend the storage and run again: perdure.load finds the last checkpoint, which is untouched."
        raise SaveFailed(f"{place.path} could not be saved", error.strerror or str(error), todo) from error
    directory.set_aside_all(place.root, place.series, f"the run went back to step {step}", newer_than=committed)
    _publish(committed / place.series, place.path)
    directory.drop_old(place.root, keep, None)
    supervisor.confirm(step, committed)


def load(path: str | os.PathLike[str], *, map_location: Any = None, default: Any = _MISSING) -> Any:
    """What `save` saved last and can be proved whole; never anything that would need code to come back.

    Under Perdure the first call takes the checkpoint that the job was told to resume from. A damaged checkpoint is
    set aside and the one before it is used, with a message. A file that torch.save wrote, without checkpoints beside
    it, is loaded after its own checksums were looked at.

    Args:
        map_location: as for `torch.load`.
        default: returned if there is nothing to load; without it, that is a FileNotFoundError.

    Errors: NoValidCheckpoint if there are checkpoints, or were when some were set aside as broken, and none is whole;
    CannotRestore; OSError.
    """
    place = _Place(path)
    _supervisor()
    found = _find(place)
    if found is None and (not place.path.exists() or _is_set_aside(place)):
        if default is _MISSING:
            raise FileNotFoundError(f"{place.path}: no such file, and no checkpoint of it in {place.root}")
        return default
    from perdure import pickles

    if found is None:
        pickles.check_file(place.path)
        return pickles.load_payload(place.path, map_location)
    return pickles.load_payload(found.path / place.series, map_location)


# Places ----------------------------------------------------------------------------------------------------------

_health = Health()
_paths: dict[tuple[Path, str], Path] = {}
_resumed: set[str] = set()


class _Place:
    """The file that the user names, and where its checkpoints lie, as a series with its name. Errors: Misuse."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self.series = self.path.name
        given = os.environ.get(environment.CHECKPOINT_DIR)
        self.root = Path(given) if given else self.path.with_name(self.series + ".checkpoints")
        former = _paths.setdefault((self.root, self.series), self.path)
        if former != self.path:
            raise Misuse(
                f"{self.path} would be mixed up with {former}",
                f"both are called {self.series}, and the checkpoints of this job lie together in {self.root}",
                "Give one of the files another name.",
            )


def _find(place: _Place) -> Found | None:
    """The checkpoint to load; the file at `path` follows if it was damaged with a newer one."""
    is_first = place.series not in _resumed
    _resumed.add(place.series)
    find = directory.find_checkpoint if is_first else directory.find_newest
    found = find(place.root, place.series, _how_to_begin_again(place))
    if found is None:
        return None
    if found.path.parent == place.root:
        why = f"the run went back to step {found.step}"
        directory.set_aside_all(place.root, place.series, why, newer_than=found.path)
    payload = found.path / place.series
    if not place.path.exists() or not os.path.samefile(place.path, payload):
        tell(f"{place.path} is not the newest whole checkpoint; that of step {found.step} is used", f"it is {payload}")
        _publish(payload, place.path)
    return found


def _how_to_begin_again(place: _Place) -> str:
    if environment.CHECKPOINT_DIR in os.environ:
        return "submit or run the job with `--fresh-start`, or save to a file of another name"
    return f"move {place.root} and {place.path} away, or save to a file of another name"


def _is_set_aside(place: _Place) -> bool:
    """Whether the file at `path` is one of those in quarantine: a fresh start that loaded it would be none."""
    payloads = (place.root / QUARANTINE).glob(f"step-*/{glob.escape(place.series)}")
    return any(os.path.samefile(place.path, payload) for payload in payloads)


def _publish(payload: Path, path: Path) -> None:
    """Make `path` the payload. That is a convenience: if it fails, the checkpoint is still there."""
    try:
        replace_by_link(path, payload)
    except OSError as error:
        tell(f"{path} is not up to date", error.strerror or str(error), f"The checkpoint itself is safe: {payload}")


# What the object says of itself ----------------------------------------------------------------------------------


def _choose_step(obj: object, step: int | None, place: _Place) -> int:
    told = obj if isinstance(obj, dict) else {}
    for candidate in (step, told.get("step"), told.get("epoch")):
        if type(candidate) is int and candidate >= 0:
            return candidate
    if step is not None:
        raise Misuse("perdure.save(step=…) is not understood", f"{step!r} is no step", "Give a whole number from 0.")
    return directory.find_last_step(place.root, place.series) + 1


def _is_healthy(obj: object, step: int) -> bool:
    loss = _read_number(obj.get("loss")) if isinstance(obj, dict) else None
    return loss is None or _health.note(loss, step)


def _read_number(loss: Any) -> float | None:
    """Of a number or a tensor of one element; None of what is neither, such as a list of losses."""
    if isinstance(loss, str | bytes):
        return None
    try:
        return float(loss.detach() if hasattr(loss, "detach") else loss)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


# Under Perdure ---------------------------------------------------------------------------------------------------


@functools.cache
def _supervisor() -> Supervisor:
    return Supervisor()
