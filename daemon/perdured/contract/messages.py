"""Messages on a keeper's socket: one JSON object a line, in both directions.

The first line a client sends is its hello. A job then reports, the daemon then asks, the keeper tells the daemon
its whole status at once and again after each change, so a listener that reconnects has missed nothing.

    job    -> keeper   {"type": "hello", "role": "job", "version": 1}
                       {"type": "progress", "step": 12, "loss": 0.5, "total": 400}     loss, total may be absent
                       {"type": "saving", "step": 12}
                       {"type": "checkpoint", "step": 12, "path": "/…/step-…"}
    keeper -> job      {"type": "save"}                     checkpoint at the next safe point
    daemon -> keeper   {"type": "hello", "role": "daemon", "version": 1, "nonce": "…"}
                       {"type": "save"}
                       {"type": "stop", "reason": "stop", "signal": 15, "grace": 120.0}
    keeper -> daemon   {"type": "status", "nonce": "…", "keeper": {...}, "leader": {...}, "progress": {...}|null,
                        "checkpoint": {...}|null, "stop": {...}|null, "exit": {...}|null}
"""

VERSION = 1

HELLO = "hello"
PROGRESS = "progress"
SAVING = "saving"
CHECKPOINT = "checkpoint"
SAVE = "save"
STOP = "stop"
STATUS = "status"

ROLE_JOB = "job"
ROLE_DAEMON = "daemon"

MAX_LINE = 64 * 1024
"""Bytes. A longer line is a broken or hostile client; its connection is closed."""
