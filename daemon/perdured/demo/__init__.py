"""`perdure demo`: trains a real model on real text, breaks everything on the way, and proves that nothing was lost.

    script.py     what is done to the job and when, as data; which of it is due
    outcome.py    what each disturbance cost, measured from what was seen
    table.py      the table at the end
    progress.py   steps and losses, read from what the training script prints
    stage.py      a folder of the demo's own, and the two runs' commands
    actors.py     the processes: a private daemon, and the same training undisturbed
    watch.py      what is known of the disturbed job
    wreck.py      does what the script says
    compare.py    whether two runs ended with the same bits
    display.py    what is shown meanwhile, on a terminal or as plain lines
    play.py       one performance
    show.py       the whole: the play, the table, the verdict

The undisturbed run is the plain script, with no Perdure around it, at the same time. At the end the tensors in both
runs' last checkpoints are compared. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """The exit status of `perdure demo ARGUMENTS`."""
    from .show import command

    status = command.main(list(arguments), prog_name="perdure demo", standalone_mode=False)
    return status if isinstance(status, int) else 0
