"""What the words of an error say about its class. The words are those that torch, CUDA, NCCL, gloo, NumPy, the kernel
and the usual trainers print; the first pattern that is found decides, so the narrower ones stand first.

Only the text of one error is to be looked at, never a whole log: a program may have printed, and survived, anything.
"""

from __future__ import annotations

import re

from .cause import Cause

_NUMBER_WORD = r"(?:nan|inf|infinite|non-?finite|not finite)"
_QUANTITY = r"(?:loss|grad(?:ient)?s?|grad(?:ient)?[_ ]norm|logits?|activations?|parameters?|weights?)"

_PATTERNS: tuple[tuple[Cause, str], ...] = (
    # Shared memory is memory, though the error speaks of files and devices.
    (Cause.HOST_MEMORY, r"insufficient shared memory|out of shared memory|shared memory ?\(shm\)"),
    (Cause.HOST_MEMORY, r"unable to (?:write|open|mmap)[^\n]*</torch_"),
    (Cause.DISK_FULL, r"No space left on device|StorageFull|database or disk is full|\d+ requested and \d+ written"),
    (Cause.QUOTA, r"[Dd]isk quota exceeded"),
    (Cause.READ_ONLY, r"Read-only file system|ReadOnlyFilesystem"),
    (Cause.EXCEPTION, r"EADDRINUSE|Address already in use"),
    (Cause.GPU_FAULT, r"uncorrectable (?:ECC|NVLink) error|fallen off the bus|GPU is lost|GPU has been lost"),
    (Cause.GPU_FAULT, r"Unable to determine the device handle"),
    (Cause.GPU_MEMORY, r"(?:CUDA|HIP|XPU|MPS)(?: backend)? out of memory|CUDA error: out of memory"),
    (Cause.GPU_MEMORY, r"CUDA_ERROR_OUT_OF_MEMORY|RESOURCE_EXHAUSTED: Out of memory|Cuda failure[^\n]*out of memory"),
    (Cause.GPU_MEMORY, r"CU(?:BLAS|DNN|SOLVER|FFT|SPARSE)_STATUS_ALLOC_FAILED"),
    (Cause.CUDA_ERROR, r"ncclUnhandledCudaError|unhandled cuda error"),
    (Cause.LOST_COLLECTIVE, r"NCCL error|nccl\w*Error|[Cc]ollective operation timeout|watchdog got stuck"),
    (Cause.LOST_COLLECTIVE, r"gloo/transport|Connection closed by (?:remote )?peer|monitoredBarrier"),
    (Cause.LOST_COLLECTIVE, r"[Tt]imed out (?:after \d+ seconds )?waiting for clients|wait timeout after \d+ ?ms"),
    (Cause.LOST_COLLECTIVE, r"Rendezvous\w*(?:Error|Exception)|recvValue failed|failed to recv, got \d+ bytes"),
    (Cause.LOST_COLLECTIVE, r"heartbeat monitor timed out|failed to pass barrier|socketStartConnect"),
    (Cause.CUDA_ERROR, r"CUDA error|CUDA driver|cudaError|CUDA_ERROR_|device-side assert|cuDNN error|HIP error"),
    (Cause.CUDA_ERROR, r"CU(?:BLAS|DNN|SOLVER|FFT|SPARSE)_STATUS_|illegal memory access was encountered"),
    (
        Cause.CUDA_ERROR,
        r"No CUDA GPUs are available|no NVIDIA driver|Triton Error \[CUDA\]|no kernel image is available",
    ),
    (Cause.HOST_MEMORY, r"DefaultCPUAllocator|Cannot allocate memory|std::bad_alloc"),
    (Cause.HOST_MEMORY, r"Unable to allocate [^\n]* for an array|(?:^|\n)MemoryError"),
    (Cause.SIGNAL, r"is killed by signal"),
    (Cause.NON_FINITE, rf"(?i:\b{_QUANTITY}\b[^\n]{{0,60}}\b{_NUMBER_WORD}\b)"),
    (Cause.NON_FINITE, rf"(?i:\b{_NUMBER_WORD}\b[^\n]{{0,30}}\b{_QUANTITY}\b)"),
    (Cause.NON_FINITE, r"returned nan values in its|contains either `inf`, `nan`|[Mm]inimum loss scale reached"),
    (Cause.NON_FINITE, r"(?i:loss scale already at minimum)"),
    (Cause.PREEMPTED, r"DUE TO PREEMPTION|PREEMPTED BY SCHEDULER"),
)
_COMPILED = tuple((cause, re.compile(pattern)) for cause, pattern in _PATTERNS)

BY_TYPE = {
    "SyntaxError": Cause.SYNTAX_ERROR,
    "IndentationError": Cause.SYNTAX_ERROR,
    "TabError": Cause.SYNTAX_ERROR,
    "ImportError": Cause.IMPORT_ERROR,
    "ModuleNotFoundError": Cause.IMPORT_ERROR,
    "MemoryError": Cause.HOST_MEMORY,
    "_ArrayMemoryError": Cause.HOST_MEMORY,
    "OutOfMemoryError": Cause.GPU_MEMORY,
    "FloatingPointError": Cause.NON_FINITE,
}
"""Types of exception that say it all, by their name without the module."""
LIKELY_BY_TYPE = {
    "AcceleratorError": Cause.CUDA_ERROR,
    "DistBackendError": Cause.LOST_COLLECTIVE,
    "DistNetworkError": Cause.LOST_COLLECTIVE,
    "DistStoreError": Cause.LOST_COLLECTIVE,
    "RendezvousTimeoutError": Cause.LOST_COLLECTIVE,
    "RendezvousConnectionError": Cause.LOST_COLLECTIVE,
}
"""Types that say it where the words say nothing narrower."""

TRANSIENT = frozenset(
    {
        *("ConnectionError", "ConnectionResetError", "ConnectionRefusedError", "ConnectionAbortedError"),
        *("BrokenPipeError", "TimeoutError", "gaierror", "herror", "URLError", "HTTPError", "IncompleteRead"),
        *("ReadTimeout", "ConnectTimeout", "ConnectionTimeout", "MaxRetryError", "NewConnectionError"),
        *("ProtocolError", "ChunkedEncodingError", "HfHubHTTPError", "LocalEntryNotFoundError"),
        *("ServerDisconnectedError", "EndpointConnectionError", "RemoteDisconnected", "SSLError"),
    }
)  # fmt: skip
"""Types whose cause lies outside the program, in a network: the same one twice proves nothing about a third time."""
LAUNCHERS = frozenset({"ChildFailedError", "CalledProcessError", "ProcessRaisedException", "ProcessExitedException"})
"""Raised by what starts ranks: they only tell that one of them failed."""


def find_cause(text: str) -> Cause | None:
    """The class that these words name; None where they name none."""
    return next((cause for cause, pattern in _COMPILED if pattern.search(text)), None)
