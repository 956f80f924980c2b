"""The codes of GPU faults ("Xid") that NVIDIA's driver writes into the kernel's log, and what to do about each.

After the published catalogue for Ampere and newer GPUs: <https://docs.nvidia.com/deploy/xid-errors/>, column "immediate
action", as of late 2025. Its buckets become what can follow here. A code that it does not list, or calls unused, is to
be investigated. Where it has a workflow of its own, the safer end of that is taken: 48 (double-bit ECC) asks for a
reset, NVLink errors for another GPU.
"""

from __future__ import annotations

from enum import IntEnum


class Advice(IntEnum):
    """What a code asks for; of several codes the highest counts."""

    NOTHING = 0
    """A remark, or the echo of another fault."""
    RESTART_HERE = 1
    RESTART_ELSEWHERE = 2
    INVESTIGATE = 3
    RESET = 4
    DRAIN = 5
    """Until the machine was restarted and looked at."""


ADVICE_TEXT = {
    Advice.NOTHING: "nothing needs doing",
    Advice.RESTART_HERE: "the job can go on on the same GPU",
    Advice.RESTART_ELSEWHERE: "the job should go on on another GPU",
    Advice.INVESTIGATE: "not in NVIDIA's catalogue: look at `nvidia-smi -q` before trusting this GPU",
    Advice.RESET: "the GPU needs a reset: nvidia-smi --gpu-reset",
    Advice.DRAIN: "take the machine out of service and restart it",
}

_ENGINE = "an engine of the GPU reported an error"
_NVLINK = "an NVLink error"
_COPY = "a copy engine reported an error"

_RESTART_HERE = {
    8: "the GPU stopped processing",
    11: "an invalid command stream",
    13: "a graphics engine exception",
    25: "an illegal command stream",
    31: "a GPU memory page fault",
    32: "a corrupted command stream",
    60: "a video processor exception",
    68: "a video decoder exception",
    69: "a graphics engine class error",
    80: "corrupted data was sent to the GPU",
    94: "a contained memory error",
    **dict.fromkeys((39, 40, 41, 70, 71, 72, 75, 76, 77, 85), _COPY),
    **dict.fromkeys(range(126, 136), _COPY),
    **dict.fromkeys((82, 83, 84, 86, 88, 89, *range(96, 106), 139), _ENGINE),
}
_ELSEWHERE = {
    74: _NVLINK,
    159: "a coherent memory error",
    **dict.fromkeys(range(144, 151), _NVLINK),
}
_RESET = {
    46: "the GPU stopped processing",
    48: "an uncorrectable (double-bit) memory error",
    62: "an internal micro-controller halted",
    64: "faulty memory could not be remapped",
    95: "an uncontained memory error",
    109: "a context switch timed out",
    110: "a security fault",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
    136: "link training failed",
    140: "an unrecovered memory error",
    143: "the GPU could not be initialised",
    155: "an NVLink error that software defines",
    156: "faulty memory was retired",
    158: "a fatal timeout",
}
_DRAIN = {
    54: "auxiliary power is not connected",
    78: "the virtual GPU could not start",
    79: "the GPU has fallen off the bus",
    151: "a key rotation failed",
}
_NOTHING = {
    14: "a simulated error",
    37: "a driver firmware error",
    38: "a driver firmware error",
    43: "the GPU stopped processing this program's work",
    44: "a fault during a context switch",
    45: "cleanup after an earlier error",
    63: "faulty memory was remapped",
    66: "an illegal access by the driver",
    67: "an illegal access by the driver",
    92: "many corrected memory errors",
    93: "the InfoROM's wear limit is exceeded",
    106: "a test message",
    107: "a test message",
    108: "an NVLink translation error",
    121: "a chip-to-chip link error",
    137: "an NVLink privilege error",
    141: "a fast path error",
    152: "a deep learning accelerator error",
    153: "a deep learning accelerator timeout",
    154: "the recommended recovery changed",
    157: "faulty memory could not be retired",
    160: "a channel was retired",
    161: "a channel could not be retired",
}

CATALOGUE: dict[int, tuple[str, Advice]] = {
    code: (what, advice)
    for advice, codes in (
        (Advice.NOTHING, _NOTHING),
        (Advice.RESTART_HERE, _RESTART_HERE),
        (Advice.RESTART_ELSEWHERE, _ELSEWHERE),
        (Advice.RESET, _RESET),
        (Advice.DRAIN, _DRAIN),
    )
    for code, what in codes.items()
}


def find_advice(code: int) -> Advice:
    return CATALOGUE[code][1] if code in CATALOGUE else Advice.INVESTIGATE


def say_xid(code: int) -> str:
    """ "Xid 79 (the GPU has fallen off the bus)"."""
    return f"Xid {code} ({CATALOGUE[code][0]})" if code in CATALOGUE else f"Xid {code}"
