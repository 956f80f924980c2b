"""Messages on a keeper's socket: one JSON object a line, in both directions.

The first line a client sends is its hello. A job then reports, the daemon then asks, the keeper tells the daemon
its whole status at once and again after each change, so a listener that reconnects has missed nothing.

    job    -> keeper   {"type": "hello", "role": "job", "version": 1}
                       {"type": "progress", "step": 12, "loss": 0.5, "total": 400, "at": 93.5, "stalled": 0.4}
                            loss, total and "at" (CLOCK_MONOTONIC) may be absent; "finite": false, where the loss is
                            not; "stalled": seconds that copies into memory have taken so far, if any
                       {"type": "phase", "name": "evaluation", "at": 93.5}       no step is made for a while
                       {"type": "stacks", "signal": 43}         on this signal it writes its stacks to `STACKS_LOG`
                       {"type": "saving", "step": 12}
                       {"type": "checkpoint", "step": 12, "path": "/…/step-…"}
                       {"type": "pace", "save_every": 200.0, "snapshot_every": 12.0, "copy": 0.1, "write": 1.3, …}
                       {"type": "memory", "root": "/…", "keep": 3}       with the descriptor of an arena (SCM_RIGHTS)
                       {"type": "release"}              the arena is not written to any more
                       {"type": "commit", "generation": 7, "protect": "/…"|null, "urgent": false, "deadline": 5.0}
                       {"type": "can_park"}             it stands still when it is asked to
                       {"type": "parked", "step": 12, "saved": true, "at": 93.5}  it does, at a safe point; now and then
                       {"type": "going_on", "at": 99.1}
    keeper -> job      {"type": "save", "deadline": 5.0}    checkpoint at the next safe point
                       {"type": "hang"}         a fire drill: make no more steps, until that is noticed
                       {"type": "park", "deadline": 5.0}    save by then, and stand still at the next safe point
                       {"type": "go_on"}                    stand still no more
                       {"type": "memory_held"}              the arena is held; commits may be asked for, one at a time
                       {"type": "memory_refused", "why": "…"}            it is not: another process of the job has one
                       {"type": "committed", "generation": 7, "step": 12, "path": "/…", "seconds": 1.3}
                       {"type": "not_committed", "generation": 7, "why": "…"}
    daemon -> keeper   {"type": "hello", "role": "daemon", "version": 1, "nonce": "…", "epoch": 3}  epoch may be absent
                       {"type": "tell"}                     the status, once all that the job has said by now is heard
                       {"type": "save", "before": 30.0}
                       {"type": "hang"}                     for the process whose steps are measured
                       {"type": "park", "before": 30.0}     holds until "go_on", also for who connects later
                       {"type": "go_on"}
                       {"type": "lease", "until": 93.5, "grace": 20.0}    may run until then (CLOCK_BOOTTIME), and is
                            asked to end so early before; a later one moves the time on
                       {"type": "stop", "reason": "stop", "signal": 15, "grace": 120.0}        signal may be absent
    keeper -> daemon   {"type": "status", "version": 1, "nonce": "…", "keeper": {...}, "leader": {...},
                        "started_at": 1795547853.4, "progress": {...}|null, "checkpoint": {...}|null,
                        "pace": {...}|null, "saving": false, "stop": {...}|null, "exit": {...}|null,
                        "pulse": {"phase": "training", "heard_at": 93.5, "told_at": 93.6, "median": 0.1,
                                  "slowest": 0.4}|null, "unhealthy": {"since": 12, "step": 14}|null,
                        "stacks": {"pid": 4321, "signal": 43}|null, "can_park": true, "asked_to_park": false,
                        "parked": {"step": 12, "saved": true}|null,
                        "memory": {"pid": 4322, "descriptor": 9}|null,     of who holds the arena
                        "tally": {"part": "training", "is_measured": true, "untold": 2.1, "loading": 0.4,
                                  "training": 93.0, "saving": 0.8, "standing": 0.0, "silence": 0.1,
                                  "asleep": 0.0, "kept": 90.1|null}}

A save may have to end "before" so many seconds are over. The keeper makes a "deadline" of it, a time of CLOCK_BOOTTIME,
which the job hands back with the commit; without one it is null or absent.

Any process of the job may connect and report; the last word counts. Commands of a daemon with a lower epoch than the
highest that was met are passed over. A type that is not known is ignored, as are unknown keys, in every direction;
what cannot be understood closes that connection and no other.

Job, keeper and daemon may be of three versions: a keeper and its job outlive the daemon that started them, and a script
imports what is installed when it starts. So nothing here is ever taken away or given another meaning; what is new is
new keys and new types, and VERSION counts them. Nobody is refused for his version.

A job must not wait for its keeper: one that does not read is no reason to stop training.
"""

VERSION = 1

HELLO = "hello"
PROGRESS = "progress"
SAVING = "saving"
CHECKPOINT = "checkpoint"
PACE = "pace"
MEMORY = "memory"
MEMORY_HELD = "memory_held"
MEMORY_REFUSED = "memory_refused"
RELEASE = "release"
COMMIT = "commit"
COMMITTED = "committed"
NOT_COMMITTED = "not_committed"
ABOUT_MEMORY = (MEMORY_HELD, MEMORY_REFUSED, COMMITTED, NOT_COMMITTED)
PHASE = "phase"
STACKS = "stacks"
CAN_PARK = "can_park"
PARKED = "parked"
GOING_ON = "going_on"
PARK = "park"
GO_ON = "go_on"
SAVE = "save"
HANG = "hang"
TELL = "tell"
STOP = "stop"
LEASE = "lease"
"""Also the reason of a stop: the lease of its job has run out."""
STATUS = "status"
TO_THE_JOB = (SAVE, PARK, GO_ON)

ROLE_JOB = "job"
ROLE_DAEMON = "daemon"

# The phases of a run, by each of which "too long" means something else.
STARTING = "starting"
"""From the first word to the first step: the model is made, the checkpoint loaded."""
WARMING_UP = "warming_up"
"""The first steps: compilation, caches, what is allocated once."""
TRAINING = "training"
EVALUATION = "evaluation"
"""Between two passes over the data, and where the script says `safe_point`."""
SAVING_PHASE = "saving"
PARKED_PHASE = "parked"

STACKS_LOG = "stacks.log"
"""Beside the keeper's socket."""

MAX_LINE = 64 * 1024
"""Bytes. A longer line is a broken or hostile client; its connection is closed."""
