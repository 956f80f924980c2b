"""Exit statuses: what a job says with its own, and what Perdure's commands say with theirs.

75 and 78 are `EX_TEMPFAIL` and `EX_CONFIG` of sysexits.h; 69 is its `EX_UNAVAILABLE`. 124 and 125 follow
timeout(1) and docker-run(1), 128 + n for a signal follows the shells.
"""

DONE = 0
RUN_AGAIN = 75
PERMANENT = 78

BAD_USAGE = 2
NO_SUCH_JOB = 4
NO_DAEMON = 69
TIMED_OUT = 124
PERDURE_FAILED = 125


def status_of_signal(number: int) -> int:
    """The exit status a shell reports for a death by signal `number`."""
    return 128 + number
