"""The API's answers as a client sees them: plain dictionaries, typed.

`perdured.views` says the same with pydantic on the daemon's side, and a test holds the two together. They are apart
because pydantic alone costs half of what `perdure ps` may take. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Wish = Literal["stop", "resume", "restart", "park", "save", "hang"]


class Attempt(TypedDict):
    number: int
    pid: int | None
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    signal: int | None
    cause: str | None
    why: str | None
    error: str | None
    fingerprint: str | None
    sender: str | None
    advice: str | None
    decision: str | None
    step: int | None
    traceback: list[str]
    output: list[str]
    kernel: list[str]
    resumed_from_step: int | None
    not_saved: str | None


class NewestCheckpoint(TypedDict):
    step: int
    path: str
    committed_at: str


class Pace(TypedDict):
    save_every: float | None
    snapshot_every: float | None
    copy: float | None
    write: float | None
    failure_costs: float | None
    machine_loss_costs: float | None
    overhead: float | None


class Ledger(TypedDict):
    whole: float
    useful: float
    redone: float
    starting: float
    loading: float
    saving: float
    hung: float
    waiting: float
    queued: float


class RemoteTrouble(TypedDict):
    what: str
    why: str
    todo: str


class Remote(TypedDict):
    url: str
    step: int | None
    committed_at: str | None
    pending_step: int | None
    doing: str
    moving_step: int | None
    bytes_done: int | None
    bytes_total: int | None
    trouble: RemoteTrouble | None
    retry_at: str | None


class Standby(TypedDict):
    state: str
    why: str


class Keeper(TypedDict):
    pid: int
    unit: str | None


class Answer(TypedDict):
    warning: str
    deadline: str
    answer: Literal["save_now", "save_late", "save_what_fits", "begin_nothing"]
    save_at: str | None
    tier: Literal["disk", "remote"] | None
    is_sure: bool
    why: str


class Resources(TypedDict):
    cpus: int
    memory: int | None
    gpus: int


class Gpu(TypedDict):
    uuid: str
    name: str | None
    memory: int | None
    state: str
    job: str | None
    why: str | None
    since: str | None


class Group(TypedDict):
    name: str
    paused: bool
    running: int
    waiting: int


class Queue(TypedDict):
    priority: int
    group: str | None
    resources: Resources
    position: int | None
    behind: str | None
    gpus: list[str]


class Lease(TypedDict):
    url: str
    token: int | None
    host: str | None
    is_here: bool
    why: str


class FleetJob(TypedDict):
    id: str
    name: str
    lease: Lease
    state: str
    is_known_here: bool
    lacks: str | None


class Fleet(TypedDict):
    schema: int
    url: str
    host: str
    trouble: str | None
    jobs: list[FleetJob]


class Job(TypedDict):
    schema: int
    id: str
    name: str
    state: str
    reason: str
    step: int | None
    total: int | None
    loss: float | None
    restarts: int
    attempts: list[Attempt]
    checkpoint: NewestCheckpoint | None
    remote: Remote | None
    goodput: float | None
    ledger: Ledger
    submitted_at: str
    ended_at: str | None
    exit_status: int | None
    workdir: str
    checkpoint_dir: str
    log: str | None
    waiting_for: str | None
    waiting_until: str | None
    standby: Standby | None
    keeper: Keeper | None
    queue: Queue | None
    pace: Pace | None
    notice: Answer | None
    no_safe_point: str | None
    lease: Lease | None


class Submitted(Job):
    notes: list[str]


class SavePlan(TypedDict):
    tier: Literal["memory", "disk", "remote"] | None
    sure_tier: Literal["memory", "disk", "remote"] | None
    seconds: float | None
    left: float
    why: str


class Saving(Job):
    plan: SavePlan | None


class Checkpoint(TypedDict):
    step: int
    seq: int
    path: str
    committed_at: str
    bytes: int
    healthy: bool | None
    tiers: list[str]
    valid: bool | None
    verified_at: str | None


class Log(TypedDict):
    attempt: int
    path: str
    bytes: int


class Event(TypedDict):
    seq: int
    at: str
    job: str
    kind: str
    text: str
    attempt: int | None
    step: int | None


class Events(TypedDict):
    schema: int
    events: list[Event]
    next: int
    """What to ask with as `after` the next time."""


class NoticeSource(TypedDict):
    source: str
    state: Literal["works", "starting", "blind", "not_here"]
    why: str


class Notice(TypedDict):
    id: str
    kind: str
    source: str
    why: str
    deadline: str | None
    sureness: str
    follows: str
    disk: str
    withdrawable: bool
    lasts: float | None
    received_at: str
    withdrawn_at: str | None
    boot_id: str
    stands: bool
    raw: str


class Notices(TypedDict):
    schema: int
    deadline: str | None
    outlook: str
    sources: list[NoticeSource]
    notices: list[Notice]


class Health(TypedDict):
    schema: int
    version: str
    pid: int


class Failure(TypedDict):
    what: str
    why: str
    todo: str
    exit_status: int
