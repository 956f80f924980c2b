"""A job's place in the queue, in words. Pure."""

from __future__ import annotations

from perdured.core.units import human_size
from perdured.wire import Queue

from .text import clean


def say_queue(queue: Queue) -> str:
    """ "number 3 of those who wait; priority 10; asks for 2 CPUs, 16 GiB of memory": of what is not as usual."""
    place = f"number {queue['position']} of those who wait" if queue["position"] is not None else ""
    priority = f"priority {queue['priority']}" if queue["priority"] else ""
    group = f"group {clean(queue['group'])}" if queue["group"] is not None else ""
    asked = _say_resources(queue)
    return "; ".join(part for part in (place, priority, group, f"asks for {asked}" if asked else "") if part)


def _say_resources(queue: Queue) -> str:
    wanted = queue["resources"]
    cpus = f"{wanted['cpus']} CPU{'' if wanted['cpus'] == 1 else 's'}" if wanted["cpus"] else ""
    gpus = f"{wanted['gpus']} GPU{'' if wanted['gpus'] == 1 else 's'}" if wanted["gpus"] else ""
    memory = f"{human_size(wanted['memory'])} of memory" if wanted["memory"] is not None else ""
    return ", ".join(part for part in (gpus, cpus, memory) if part)
