"""What is shown of a job, in the API and in `--json`. Times are RFC 3339 in UTC, durations seconds, unknown is null."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .clock import format_time
from .contract.checkpoint.store import Listed
from .contract.pacing import Pace
from .core.ledger import PARTS, Ledger, make_ledger
from .core.notice_plan import Answer
from .core.observation import Observation
from .core.planner import SavePlan
from .core.queue.words import say_reason
from .core.record import UNDER_WAY, AttemptRecord, JobRecord, Waiting, exit_status
from .core.safe_points import find_deafness
from .queue_view import QueueView

SCHEMA = 1


class View(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class AttemptView(View):
    number: int
    pid: int | None
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    signal: int | None
    cause: str | None
    """Why it ended, as one of the words of `perdured.core.ends.cause`; null while it runs."""
    why: str | None
    """The same in a sentence."""
    error: str | None
    """The exception, with the first line of its message."""
    fingerprint: str | None
    """The same for the same failure."""
    sender: str | None
    """Of the signal that ended it: "kernel" or "perdure"; null when nobody knows, or it was none."""
    advice: str | None
    """What to do about the GPU."""
    decision: str | None
    """What followed from its end."""
    step: int | None
    """The last one that it reported."""
    traceback: list[str]
    output: list[str]
    """The last lines that it printed."""
    kernel: list[str]
    """What the kernel's log said of deaths and GPU faults meanwhile."""
    resumed_from_step: int | None
    not_saved: str | None
    """Why its last snapshot in memory was lost, if it was."""


class NewestCheckpoint(View):
    step: int
    path: str
    committed_at: str


class PaceView(View):
    """How often a job saves, and what that costs. Seconds."""

    save_every: float | None
    """Between two checkpoints on the disk; null until it is known."""
    snapshot_every: float | None
    """Between two copies in memory; null where there is no memory tier."""
    copy_: float | None = Field(alias="copy")
    """What a copy into memory takes; training stands still for it."""
    write: float | None
    """What a checkpoint takes until it is durable."""
    failure_costs: float | None
    """What the death of the process costs, on average."""
    machine_loss_costs: float | None
    overhead: float | None
    """The share of the time that saving costs, 0 to 1."""


class StandbyView(View):
    """The next attempt's process, started early."""

    state: str
    """"none", "preparing" or "ready"."""
    why: str


class KeeperView(View):
    """Who holds the newest attempt."""

    pid: int
    unit: str | None
    """Of systemd, where it is one."""


class LedgerView(View):
    """Where the wall time of a job went, in seconds: the parts add up to the whole."""

    whole: float
    """From its submission until now, or until it ended."""
    useful: float
    redone: float
    """Steps that were made before, and lost."""
    starting: float
    loading: float
    saving: float
    hung: float
    waiting: float
    queued: float


class RemoteTroubleView(View):
    what: str
    why: str
    todo: str


class RemoteView(View):
    url: str
    step: int | None
    """Of the newest healthy checkpoint there, when it was last seen."""
    committed_at: str | None
    pending_step: int | None
    """The newest checkpoint of the disk that the remote lacks; null when it lacks none."""
    doing: str
    """"uploading", "fetching", "waiting" (for its turn, or its next try) or "nothing"."""
    moving_step: int | None
    bytes_done: int | None
    bytes_total: int | None
    trouble: RemoteTroubleView | None
    """Why the last try failed; null once one succeeded."""
    retry_at: str | None

    @property
    def is_pending(self) -> bool:
        return self.pending_step is not None or self.doing == "uploading"


class LeaseView(View):
    """Which of the hosts that have joined one bucket may run the job."""

    url: str
    token: int | None
    """The newest; null before the first."""
    host: str | None
    """That holds it, or held it last."""
    is_here: bool
    """This host may run the job now."""
    why: str


class FleetJobView(View):
    id: str
    name: str
    lease: LeaseView
    state: str
    """Of the newest lease: "claimed", "held", "free", "over" or "none"."""
    is_known_here: bool
    lacks: str | None
    """Why this host does not take it over; null where it would, or has not looked."""


class FleetView(View):
    """The jobs in the bucket that this host has joined."""

    schema_: int = Field(SCHEMA, alias="schema")
    url: str
    host: str
    trouble: str | None
    jobs: list[FleetJobView]


class AnswerView(View):
    """What is done about the notices that stand."""

    warning: str
    """What the deciding one says."""
    deadline: str
    answer: Literal["save_now", "save_late", "save_what_fits", "begin_nothing"]
    save_at: str | None
    """When the save begins after which the job stands still; null where none does."""
    tier: Literal["disk", "remote"] | None
    """The furthest that is reached."""
    is_sure: bool
    why: str


class JobView(View):
    schema_: int = Field(SCHEMA, alias="schema")
    id: str
    name: str
    state: str
    reason: str
    step: int | None
    total: int | None
    loss: float | None
    restarts: int
    attempts: list[AttemptView]
    checkpoint: NewestCheckpoint | None
    remote: RemoteView | None
    """Null without a remote tier."""
    lease: LeaseView | None = None
    """Null where this host has joined no others, or the job has no remote tier."""
    goodput: float | None
    """Useful time divided by wall time, 0 to 1; null until an attempt has run."""
    ledger: LedgerView
    submitted_at: str
    ended_at: str | None
    exit_status: int | None
    """What `perdure wait` ends with; null until the job has come to rest."""
    workdir: str
    checkpoint_dir: str
    log: str | None
    """The newest attempt's output."""
    waiting_for: str | None
    waiting_until: str | None
    """When it goes on, or looks again, by itself; null unless it is waiting."""
    standby: StandbyView | None = None
    """null as long as nobody has looked."""
    keeper: KeeperView | None = None
    """null where no attempt is under way, or its keeper is gone."""
    queue: QueueView | None = None
    pace: PaceView | None = None
    """null as long as nothing was saved."""
    notice: AnswerView | None = None
    """null where no notice asks anything of a job that runs."""
    no_safe_point: str | None = None
    """Why a notice could not be honoured, in words; null where it could, or nobody knows."""


class SubmittedView(JobView):
    notes: list[str]
    """What the spec asks for and this version does not do, in words."""


class SavingView(JobView):
    plan: SavePlan | None = None
    """What will be done of a save that has to end before a deadline; null for one that has none."""


class CheckpointView(View):
    step: int
    seq: int
    path: str
    committed_at: str
    bytes: int
    healthy: bool | None
    tiers: list[str]
    """Where it lies: "disk", "remote" or both."""
    valid: bool | None
    """Without hashing: whether COMMIT, manifest and sizes agree. `perdure verify` checks every byte."""
    verified_at: str | None = None
    """When the daemon last read every byte of it and found nothing wrong; null: not yet."""


class Place(View):
    """Where a job's things lie."""

    workdir: str
    checkpoint_dir: str
    log: str | None
    remote: RemoteView | None
    queue: QueueView | None = None
    keeper: KeeperView | None = None

    lease: LeaseView | None = None


def describe_job(record: JobRecord, seen: Observation, place: Place, now: float) -> JobView:
    newest, ledger = seen.checkpoint, make_ledger(record, seen, now)
    goodput = ledger.goodput
    return JobView(
        id=record.id,
        name=record.name,
        state="parked" if record.phase.kind == "parked_in_place" else record.phase.kind,
        reason=say_reason(record, seen.turn),
        step=seen.step if seen.step is not None else record.progress,
        total=seen.total if seen.step is not None else record.total,
        loss=seen.loss if seen.step is not None else record.loss,
        restarts=max(0, len([a for a in record.attempts if a.started_at is not None]) - 1),
        attempts=[_describe_attempt(attempt) for attempt in record.attempts],
        checkpoint=NewestCheckpoint(
            step=newest.step, path=newest.path, committed_at=format_time(newest.committed_at) or ""
        )
        if newest
        else None,
        remote=place.remote,
        lease=place.lease,
        goodput=round(goodput, 4) if record.has_run and goodput is not None else None,
        ledger=describe_ledger(ledger),
        submitted_at=format_time(record.submitted_at) or "",
        ended_at=format_time(record.ended_at),
        exit_status=exit_status(record),
        workdir=place.workdir,
        checkpoint_dir=place.checkpoint_dir,
        log=place.log,
        waiting_for=record.phase.what_for if isinstance(record.phase, Waiting) else None,
        waiting_until=format_time(record.phase.until) if isinstance(record.phase, Waiting) else None,
        standby=StandbyView(**seen.standby._asdict()) if seen.standby is not None else None,
        pace=describe_pace(seen.pace or record.pace),
        queue=place.queue,
        keeper=place.keeper,
        notice=_describe_answer(seen.answer) if record.phase.kind in UNDER_WAY and seen.answer is not None else None,
        no_safe_point=find_deafness(seen, seen.pace),
    )


def _describe_answer(answer: Answer) -> AnswerView:
    return AnswerView(
        warning=answer.warning,
        deadline=format_time(answer.deadline) or "",
        answer=answer.kind,
        save_at=format_time(answer.begin_at) if answer.saves else None,
        tier=answer.tier,
        is_sure=answer.is_sure,
        why=answer.why,
    )


_PACE_KEYS = ("save_every", "snapshot_every", "copy", "write")


def describe_pace(pace: Pace | None) -> PaceView | None:
    if pace is None:
        return None
    costs = {"failure_costs": pace.failure_costs, "machine_loss_costs": pace.machine_loss_costs}
    told = {name: value for name, value in pace._asdict().items() if name in _PACE_KEYS}
    return PaceView(**told, **costs, overhead=pace.overhead)


def _describe_attempt(attempt: AttemptRecord) -> AttemptView:
    end = attempt.end
    return AttemptView(
        number=attempt.number,
        pid=attempt.pid,
        started_at=format_time(attempt.started_at),
        ended_at=format_time(attempt.ended_at),
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        cause=end.cause.value if end else None,
        why=end.why if end else None,
        error=end.error if end else None,
        fingerprint=end.fingerprint if end else None,
        sender=end.sender if end else None,
        advice=end.advice if end else None,
        decision=attempt.decision,
        step=attempt.step,
        traceback=list(end.traceback) if end else [],
        output=list(end.output) if end else [],
        kernel=list(end.kernel) if end else [],
        resumed_from_step=attempt.resumed_from_step,
        not_saved=attempt.not_saved,
    )


def describe_ledger(ledger: Ledger) -> LedgerView:
    parts = {part: round(getattr(ledger, part), 3) for part in PARTS}
    return LedgerView(whole=round(ledger.whole, 3), **parts)


def describe_checkpoint(
    listed: Listed, *, size: int, healthy: bool | None, valid: bool | None, tiers: Sequence[str] = ("disk",)
) -> CheckpointView:
    return CheckpointView(
        step=listed.step,
        seq=listed.seq,
        path=str(listed.path),
        committed_at=format_time(listed.committed_at) or "",
        bytes=size,
        healthy=healthy,
        tiers=list(tiers),
        valid=valid,
    )


def log_of(path: Path) -> str | None:
    return str(path) if path.exists() else None
