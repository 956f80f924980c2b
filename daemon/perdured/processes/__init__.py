"""The only module of the daemon that starts, signals and looks at processes: jobs through keepers, and the carrier.

start_keeper       the launch protocol: nothing runs that is not recorded; as a child, or as a unit of systemd
observe_attempt    what an attempt's directory and the kernel say about it
observe_resume     what it was told to resume from
open_arena         the memory of an attempt, which its keeper has told of
connect_keeper     a proven connection to a living keeper
perform_clean, signal_orphan, wait_orphan     for an attempt whose keeper is gone
start_scrub        a process that verifies one checkpoint
start_messenger    asks the bucket that hosts have joined
start_deputy       a daemon of one user, with that user's identity (`become.py`)
start_carrier      copies checkpoints to a remote tier, or fetches them
start_standby, clear_standby, observe_program      the next attempt's process, started early
observe_cpus, has_loaded                           is there room for one, and is it of use
is_paused, sample_shape, dump_stacks          what the processes of an attempt are doing
Surveyor, wait_for_return, find_stuck         what an attempt had, and whether it has been given back
KernelLog               what the kernel's log says of deaths and GPU faults
"""

from .arenas import open_arena
from .belongings import NOTHING, Belongings, Surveyor, wait_for_return
from .carrier import Carrier, start_carrier, start_messenger
from .deputy import DeputyOrder, DeputyProcess, start_deputy
from .kernel_log import KernelLog
from .launch import DirectoryInUse, KeeperFailed, Keepers, Order, start_keeper
from .link import KeeperLink, KeeperStatus, NotOurs, connect_keeper
from .observe import Resumed, observe_attempt, observe_resume
from .orphan import NotClean, StillHeld, perform_clean, signal_orphan, wait_orphan
from .room import has_loaded, observe_cpus
from .scrub import ScrubProcess, ScrubVerdict, start_scrub
from .stacks import Teller, dump_stacks, is_paused, sample_shape
from .standby import NoStandby, Standby, StandbyOrder, clear_standby, observe_program, start_standby
from .stuck import find_stuck
from .units import NoUnit
from .waiting import wait_readable

__all__ = [
    "NOTHING",
    "Belongings",
    "Carrier",
    "DeputyOrder",
    "DeputyProcess",
    "DirectoryInUse",
    "KeeperFailed",
    "KeeperLink",
    "KeeperStatus",
    "Keepers",
    "KernelLog",
    "NoStandby",
    "NoUnit",
    "NotClean",
    "NotOurs",
    "Order",
    "Resumed",
    "ScrubProcess",
    "ScrubVerdict",
    "Standby",
    "StandbyOrder",
    "StillHeld",
    "Surveyor",
    "Teller",
    "clear_standby",
    "connect_keeper",
    "dump_stacks",
    "find_stuck",
    "has_loaded",
    "is_paused",
    "observe_attempt",
    "observe_cpus",
    "observe_program",
    "observe_resume",
    "open_arena",
    "perform_clean",
    "sample_shape",
    "signal_orphan",
    "start_carrier",
    "start_deputy",
    "start_keeper",
    "start_messenger",
    "start_scrub",
    "start_standby",
    "wait_for_return",
    "wait_orphan",
    "wait_readable",
]
