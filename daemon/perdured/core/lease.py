"""Which host may run a job, where several hosts share a bucket. Pure: what was seen, what one's own clock says, what
follows.

The lease of a job is a chain of objects, numbered 1, 2, 3 …. Each is created only if it is absent, so one host alone
creates the next; the number is its *token*. The newest token is the lease. Its holder, and nobody else, writes that
object again, now and then, each time with another `nonce`; and in the end that the lease is given back ("free") or that
the job is "over". All that a store must have is create-if-absent, and listings that show what was written before.

Rules, and why never two hosts hold a valid lease (`tests/core/test_lease_hosts.py` plays them against each other):

1. *No two clocks are compared.* A holder counts `lasts` seconds from the moment at which it began the last request that
   counts. Whoever waits for the lease counts MARGIN times as long, from the moment at which he first saw the nonce that
   is still there. He saw it after it was written, which was after the holder began to count.
2. *To renew is to write, then to look.* It counts if the lease is still the newest in a listing made after the write.
   A lease that has run out, by its holder's clock, is never renewed: the holder takes the next token, as all others do.
3. *To claim is not to enter.* A host that was held up between its look and its claim may claim from one who lives. So
   it looks again: only if the lease before is what it watched run out, or was given up, it enters. Else it waits until
   that one has run out; its holder sees the claim when it renews, and stops. What was claimed and not entered is
   followed only once it has run out itself, by its own host too, and cannot be given back.
4. *Who cannot renew stops before others may enter*: the keepers of its attempts know until when (`say_until`), so this
   needs no daemon, no network and no thaw in time.

Between a claim and the end of a renewal the order of writes decides. A renewal that was written before the claimant
looked again is seen by him: he does not enter. One that was written later looks after the claim, and sees that.

A host is its state directory in one boot of its machine. One that comes back from a crash in another boot is another
host: it waits like everybody else, since its state directory may have been copied.

Known limits. A machine whose clock stands still while it is away (a virtual machine that is paused and does not learn
of it) believes in its lease until its next renewal. What it commits meanwhile is refused: see `remote/fencing.py`. And
two machines that are copies of each other while they run are one host to these rules.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from .spec import LONGEST
from .value import Value

MARGIN = 1.25
"""No two clocks of machines that work run so differently."""
ROUNDS = 6
"""How often a lease is renewed while it lasts."""

Aim = Literal["hold", "keep", "free", "over", "none"]
"""What a host wants of a job's lease: to hold it, to go on holding it if it does, to give it back, to say that the job
is over, or nothing."""

State = Literal["claimed", "held", "free", "over"]


class Host(Value):
    id: str
    """Of its state directory."""
    boot: str
    name: str = ""
    """For people."""

    def is_same(self, other: Host) -> bool:
        return (self.id, self.boot) == (other.id, other.boot)


class Lease(Value):
    """One object of the chain, as its holder wrote it last."""

    format: int = 1
    host: Host
    state: State
    why: str = ""
    """Why it was given back, or how the job ended, in words."""
    lasts: float = Field(gt=0, le=LONGEST)
    first: int = 1
    """The token with which this host's unbroken row of leases began."""
    nonce: str
    """Another one at each write, so that each can be told from what was there before."""


class Entry(NamedTuple):
    token: int
    lease: Lease


class Seen(NamedTuple):
    """What one look shows of a chain."""

    newest: Entry | None = None
    before: Entry | None = None


class Watch(NamedTuple):
    """An entry that has not changed since, on one's own clock."""

    entry: Entry
    since: float


class Hold(NamedTuple):
    """A lease that this host created."""

    entry: Entry
    until: float
    """On one's own clock."""
    has_entered: bool = False
    before: Watch | None = None
    """The lease before, as it was when this one was claimed, or as it was seen since."""


class Stand(NamedTuple):
    """How this host stands to one job's lease."""

    seen: Seen = Seen()
    watch: Watch | None = None
    """Of the newest entry."""
    hold: Hold | None = None


class Move(NamedTuple):
    """To be written: a new entry, only if it is absent, or one's own again."""

    entry: Entry
    is_claim: bool


class Round(NamedTuple):
    """One exchange with the bucket, on one's own clock: what was to be written was, and then it was looked."""

    began: float
    ended: float
    seen: Seen
    has_claimed: bool = False
    """The claim, if there was one, created its entry."""


def is_valid(stand: Stand, now: float) -> bool:
    """Whether this host may run the job now."""
    hold = stand.hold
    return hold is not None and hold.has_entered and now < hold.until


def decide_move(stand: Stand, aim: Aim, me: Lease, now: float) -> Move | None:
    """What this host writes next. `me` is a lease as it would claim it, with a nonce that was never used."""
    newest, hold = stand.seen.newest, stand.hold
    is_mine = newest is not None and newest.lease.host.is_same(me.host)
    if aim == "none":
        return None
    if aim in ("free", "over"):
        may_let_go = newest is not None and is_mine and newest.lease.state == "held"
        return _rewrite(newest, me, "free" if aim == "free" else "over") if newest and may_let_go else None
    if hold is not None and newest is not None and newest.token == hold.entry.token and now < hold.until:
        return _rewrite(hold.entry, me, "held" if hold.has_entered else hold.entry.lease.state)
    if aim == "keep":
        return None
    if newest is None:
        return Move(Entry(1, me), is_claim=True)
    if not may_enter_after(newest, me.host, stand.watch, now):
        return None
    token, is_sure = newest.token + 1, is_given_up(newest, me.host)
    first = newest.lease.first if is_mine else token
    claim = me.model_copy(update={"state": "held" if is_sure else "claimed", "first": first})
    return Move(Entry(token, claim), is_claim=True)


def _rewrite(entry: Entry, me: Lease, state: State) -> Move:
    lease = me.model_copy(update={"state": state, "first": entry.lease.first})
    return Move(Entry(entry.token, lease), is_claim=False)


def is_given_up(before: Entry, me: Host) -> bool:
    """Its holder has let go of it; or it was held by this host, of which nobody lives who could believe in it."""
    lease = before.lease
    return lease.state in ("free", "over") or (lease.state == "held" and lease.host.is_same(me))


def may_enter_after(before: Entry, me: Host, watch: Watch | None, now: float) -> bool:
    """Whether nobody can believe any more that he holds this lease."""
    if is_given_up(before, me):
        return True
    return watch is not None and watch.entry == before and now >= _runs_out_at(watch)


def _runs_out_at(watch: Watch) -> float:
    return watch.since + watch.entry.lease.lasts * MARGIN


def note_begun(stand: Stand, move: Move | None) -> Stand:
    """What holds from before a write is sent. Who lets go has let go then, whatever becomes of the write."""
    lets_go = move is not None and move.entry.lease.state in ("free", "over")
    return stand._replace(hold=None) if lets_go else stand


def note_round(stand: Stand, move: Move | None, done: Round, me: Host) -> Stand:
    """What is known after an exchange in which `move` was made."""
    newest, before, hold = done.seen.newest, stand.watch, stand.hold
    if move is not None and move.is_claim and done.has_claimed:
        hold = Hold(move.entry, done.began + move.entry.lease.lasts, before=before)
    elif move is not None and not move.is_claim and hold is not None and move.entry.token == hold.entry.token:
        hold = hold._replace(entry=move.entry, until=done.began + move.entry.lease.lasts)
    if hold is not None and (newest is None or newest.token != hold.entry.token):
        hold = None
    watch = _keep_watching(before, newest, done.ended)
    return Stand(done.seen, watch, _look_before(hold, done, me) if hold is not None else None)


def _look_before(hold: Hold, done: Round, me: Host) -> Hold:
    """Rule 3. A chain begins with the first entry that is there: older ones may have been cleared away."""
    before = done.seen.before
    if hold.has_entered or before is None:
        return hold._replace(has_entered=True, before=None)
    watch = _keep_watching(hold.before, before, done.ended)
    return hold._replace(has_entered=may_enter_after(before, me, watch, done.ended), before=watch)


def _keep_watching(watch: Watch | None, entry: Entry | None, now: float) -> Watch | None:
    if entry is None:
        return None
    return watch if watch is not None and watch.entry == entry else Watch(entry, now)


def say_obstacle(stand: Stand, me: Host, now: float) -> str | None:
    """Why this host may not run the job now, in words; None where it may."""
    newest, hold = stand.seen.newest, stand.hold
    if is_valid(stand, now):
        return None
    if newest is None:
        return "its lease is not taken yet"
    if hold is not None and not hold.has_entered and hold.before is not None:
        who = hold.before.entry.lease.host.name
        return f"it is taken over from {who}, whose lease has to run out first"
    if newest.lease.host.is_same(me):
        return "the lease of this host has run out: the bucket could not be reached in time"
    if newest.lease.host.id == me.id:
        return "the lease that this machine had before it was started anew has to run out first"
    return say_holder(newest)


def say_holder(entry: Entry) -> str:
    """ "host-b holds lease 2"."""
    lease = entry.lease
    match lease.state:
        case "held" | "claimed":
            return f"{lease.host.name} holds lease {entry.token}: the job goes on there"
        case "free":
            return f"{lease.host.name} gave lease {entry.token} back: {lease.why}"
    return f"the job is over: {lease.why} on {lease.host.name}"
