"""The page of `perdure show`, after the manner of `systemctl status`: state and reason first. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from perdured.core.units import human_duration, human_size
from perdured.wire import Attempt, Job, Keeper, Pace, Remote, Standby

from .ledger_table import format_ledger, say_share
from .queue_text import say_queue
from .text import (
    DIM,
    STATE_COLOURS,
    Cell,
    clean,
    format_age,
    format_bar,
    format_clock,
    format_date,
    format_loss,
    format_table,
    header,
    paint,
    parse_time,
    shorten,
    wrap_rows,
)

SHOWN_ATTEMPTS = 10
SHOWN_TRACEBACK = 15
"""Lines of a traceback, from its end."""


def format_page(job: Job, tail: Sequence[str], ref: str, now: float, width: int | None) -> list[str]:
    """Lines about `job`; `tail` is the end of its output, `ref` what the user calls it."""
    return [
        *_format_head(job, now, width),
        *format_ledger(job, width),
        *_format_attempts(job["attempts"], now, width),
        *_format_evidence(job),
        *_format_tail(tail, width),
        "",
        *format_table([[Cell(f"  {command}"), Cell(what, DIM)] for command, what in suggest(job, ref)], width),
    ]


def _format_head(job: Job, now: float, width: int | None) -> list[str]:
    """Never cut, only broken between words: half a reason or half a path is of no use."""
    colour = STATE_COLOURS.get(job["state"])
    title = f"{paint(Cell('●', colour))} {clean(job['name'])}  {paint(Cell(job['state'], colour))}"
    facts = {
        "why": clean(job["reason"]),
        **_notice(job, now),
        **_wait(job, now),
        "id": job["id"],
        **_progress(job),
        **_places(job, now),
    }
    rows = [
        [Cell("" if number else f"  {name}", DIM), Cell(line)]
        for name, value in facts.items()
        for number, line in enumerate(value.splitlines())
    ]
    return [title, *format_table(wrap_rows(rows, width))]


def _notice(job: Job, now: float) -> dict[str, str]:
    """What is done about it; and, before there is one, that nothing could be."""
    notice, deaf = job["notice"], job["no_safe_point"]
    if notice is None:
        return {"warning": clean(deaf)} if deaf else {}
    left = parse_time(notice["deadline"]) - now
    when = f"{human_duration(left)} left" if left > 0 else "its time is over"
    return {"notice": f"{clean(notice['warning'])}: {when}\n{clean(notice['why'])}", "warning": clean(deaf or "")}


def _wait(job: Job, now: float) -> dict[str, str]:
    if job["waiting_until"] is None or job["state"] != "waiting":
        return {}
    until = parse_time(job["waiting_until"])
    left = human_duration(max(until - now, 0.0))
    return {"waits": f"for {job['waiting_for']}, until {format_clock(until)} (in {left})"}


def _progress(job: Job) -> dict[str, str]:
    step, total = job["step"], job["total"]
    parts = []
    if step is not None:
        parts.append(f"{step} of {total}  {format_bar(step, total)}" if total else str(step))
    if job["loss"] is not None:
        parts.append(f"loss {format_loss(job['loss'])}")
    return {"step": "   ".join(parts)}


def _places(job: Job, now: float) -> dict[str, str]:
    newest = job["checkpoint"]
    age = format_age(parse_time(newest["committed_at"]), now) if newest else ""
    submitted = parse_time(job["submitted_at"])
    goodput = "" if job["goodput"] is None else f"{job['goodput']:.0%} of the time was useful training"
    return {
        "checkpoint": f"step {newest['step']}, {age}: {newest['path']}"
        if newest
        else f"none yet in {job['checkpoint_dir']}",
        "queue": say_queue(job["queue"]) if job["queue"] else "",
        "saves": say_pace(job["pace"]) if job["pace"] else "",
        "standby": _say_standby(job["standby"]) if job["standby"] and job["ended_at"] is None else "",
        "keeper": _say_keeper(job["keeper"]) if job["keeper"] else "",
        "remote": _say_remote(job["remote"], now) if job["remote"] else "",
        "lease": clean(job["lease"]["why"]) if job["lease"] else "",
        "goodput": goodput,
        "submitted": f"{format_date(submitted)} ({format_age(submitted, now)})",
        "workdir": job["workdir"],
        "log": job["log"] or "",
    }


def say_pace(pace: Pace) -> str:
    """ "every 3 min 20 s; a failure costs about 1 min 40 s; overhead 0.4 %": of what is known."""
    every, snapshots = _say_seconds(pace["save_every"]), _say_seconds(pace["snapshot_every"])
    failure, loss = _say_seconds(pace["failure_costs"]), _say_seconds(pace["machine_loss_costs"])
    often = f"every {every}" if every else ""
    costs = f"a failure costs about {failure}" if failure else ""
    if snapshots:
        often = f"to memory every {snapshots}" + (f", to the disk every {every}" if every else "")
        costs = f"a crash costs about {failure}" + (f", the loss of the machine about {loss}" if loss else "")
    share = "" if pace["overhead"] is None else f"overhead {say_share(pace['overhead'])}"
    return "; ".join(part for part in (often, costs, share) if part)


def _say_standby(standby: Standby) -> str:
    state = standby["state"] if standby["state"] != "none" else "none yet"
    return clean(f"{state}: {standby['why']}")


def _say_keeper(keeper: Keeper) -> str:
    process = f"process {keeper['pid']}"
    return f"{keeper['unit']} ({process})" if keeper["unit"] is not None else process


def _say_seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return human_duration(seconds) if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"


def _say_remote(remote: Remote, now: float) -> str:
    """What is there, what is still to come, and what stands in the way. "Done" must not hide that a copy is pending."""
    step, at = remote["step"], remote["committed_at"]
    there = f"step {step}, {format_age(parse_time(at), now)}" if at is not None else "nothing yet"
    lines = [f"{there}: {remote['url']}"]
    if remote["doing"] == "fetching":
        lines.append(f"fetching {_say_moving(remote)}")
    if remote["pending_step"] is not None:
        lines.append(f"step {remote['pending_step']} is not there yet{_say_progress(remote, now)}")
    if remote["trouble"] is not None:
        trouble = remote["trouble"]
        lines += [clean(trouble["what"]), clean(trouble["why"]), clean(trouble["todo"])]
    return "\n".join(lines)


def _say_moving(remote: Remote) -> str:
    step, done, total = remote["moving_step"], remote["bytes_done"], remote["bytes_total"]
    if step is None:
        return "what is newer there"
    share = f"  {format_bar(done, total)} of {human_size(total)}" if done is not None and total else ""
    return f"step {step}{share}"


def _say_progress(remote: Remote, now: float) -> str:
    if remote["doing"] == "uploading":
        return f"; copying {_say_moving(remote)}" if remote["moving_step"] is not None else "; copying it"
    retry_at = remote["retry_at"]
    return f"; tried again in {human_duration(max(parse_time(retry_at) - now, 0.0))}" if retry_at else ""


def _format_attempts(attempts: Sequence[Attempt], now: float, width: int | None) -> list[str]:
    if not attempts:
        return []
    shown = attempts[-SHOWN_ATTEMPTS:]
    rows = [header("  ATTEMPT", "STARTED", "RAN", "PID", "FROM STEP", "CAUSE", "ENDED")]
    rows += [_describe_attempt(attempt, now) for attempt in shown]
    hidden = len(attempts) - len(shown)
    note = [paint(Cell(f"  ({hidden} earlier attempts are not shown; --json has all)", DIM))] if hidden else []
    return ["", *note, *format_table(rows, width)]


def _describe_attempt(attempt: Attempt, now: float) -> list[Cell]:
    started = parse_time(attempt["started_at"]) if attempt["started_at"] else None
    ended = parse_time(attempt["ended_at"]) if attempt["ended_at"] else None
    ran = "-" if started is None else human_duration(max((ended or now) - started, 0.0))
    resumed = attempt["resumed_from_step"]
    return [
        Cell(f"  {attempt['number']}"),
        Cell(format_clock(started) if started is not None else "-"),
        Cell(ran),
        Cell(str(attempt["pid"]) if attempt["pid"] is not None and ended is None else "-"),
        Cell("-" if resumed is None else str(resumed)),
        Cell(attempt["cause"] or "-"),
        Cell(describe_end(attempt)),
    ]


def describe_end(attempt: Attempt) -> str:
    """How an attempt ended in words, and what was lost with it."""
    if attempt["ended_at"] is None:
        return "runs" if attempt["started_at"] else "-"
    lost = attempt["not_saved"]
    return _say_end(attempt) + (f"; its last snapshot was lost: {clean(lost)}" if lost else "")


def _say_end(attempt: Attempt) -> str:
    """With the exit where the words do not already say it."""
    why = clean(attempt["why"] or "")
    number, code = attempt["signal"], attempt["exit_code"]
    if number is not None:
        end = f"signal {number} ({_name_signal(number)})"
        return why.replace(f"signal {number}", end) if f"signal {number}" in why else _join(why, end)
    if not code or f"exit code {code}" in why or attempt["error"]:
        return why or "unknown"
    return _join(why, f"exit code {code}")


def _join(why: str, end: str) -> str:
    return f"{why}: {end}" if why else end


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _format_evidence(job: Job) -> list[str]:
    """What ended the last attempt that ended, while that is still what matters."""
    ended = [attempt for attempt in job["attempts"] if attempt["ended_at"]]
    if not ended or job["state"] not in ("failed", "waiting"):
        return []
    last = ended[-1]
    lines = [f"│ {_clean_indented(line)}" for line in (*last["traceback"][-SHOWN_TRACEBACK:], *last["kernel"])]
    facts = {"advice": clean(last["advice"] or ""), "then": clean(last["decision"] or "")}
    rows = [[Cell(f"  {name}", DIM), Cell(value)] for name, value in facts.items() if value]
    if not lines and not facts["advice"]:
        return []
    title = f"  what ended attempt {last['number']} ({last['cause']})"
    return ["", title, *(paint(Cell(f"  {line}", DIM)) for line in lines), *(format_table(rows) if rows else [])]


def _clean_indented(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))] + clean(line)


def _format_tail(tail: Sequence[str], width: int | None) -> list[str]:
    shown = [clean(line.rstrip("\r").rsplit("\r", 1)[-1]) for line in tail]
    cut = [line if width is None else shorten(line, width - 4) for line in shown]
    return ["", *(paint(Cell(f"  │ {line}", DIM)) for line in cut)] if cut else []


def suggest(job: Job, ref: str) -> list[tuple[str, str]]:
    """The next commands somebody in front of this page may want, and what they do."""
    follow = (f"perdure logs -f {ref}", "follows its output over restarts")
    is_saved = job["checkpoint"] is not None
    resume = (f"perdure resume {ref}", "goes on from the newest valid checkpoint" if is_saved else "starts it again")
    if job["state"] == "queued" or (job["queue"] and job["queue"]["position"] is not None):
        return [("perdure ps", "shows who is ahead"), (f"perdure stop {ref}", "takes it out of the queue")]
    match job["state"]:
        case "failed":
            return [(f"perdure logs {ref}", "has all of its output"), resume]
        case "stopped" | "parked":
            return [resume, (f"perdure rm {ref}", "forgets it; checkpoints stay")]
        case "succeeded":
            return [
                (f"perdure checkpoints {ref}", "lists what it saved"),
                (f"perdure logs {ref}", "has all of its output"),
            ]
        case "waiting":
            return [
                (f"perdure events -f {ref}", "tells what happens"),
                (f"perdure restart {ref}", "does not wait longer"),
            ]
    return [follow, (f"perdure stop {ref}", "saves and ends it")]
