"""What was found out about an attempt's end, besides how its leader exited. Gathered once, when it has ended."""

from __future__ import annotations

from perdured.core.value import Value


class Evidence(Value):
    output: tuple[str, ...] = ()
    """The last lines that the attempt printed."""
    kernel: tuple[str, ...] = ()
    """Lines of the kernel's log from the attempt's time that tell of deaths or GPU faults, in whatever process."""
