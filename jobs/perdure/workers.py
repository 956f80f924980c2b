"""What runs inside the worker processes of a DataLoader. Everything here is sent to them, so it must pickle.

Three things make workers fit for a run that is stopped and resumed:

- They outlive the signals that ask the training to stop. SIGTERM often goes to a whole process group, Ctrl-C always
  does; if the workers died of it, the training would fail at its next batch, before it could save.
- What they draw depends on the batch alone. A worker seeds its streams anew for each batch, from the seed of the pass
  and the batch's number, so it does not matter which worker loads it, or how many batches that one loaded before.
- They end with the training. torch's own watchdog waits for another parent than the one that it found first; where
  the training was killed before that look, it waits for ever.

Out of reach: generators that a dataset holds itself (`self.rng = numpy.random.default_rng()`), whose state lives in
the worker and dies with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, get_worker_info

from perdure import rng

LOOK_SECONDS = 1.0
"""Between two looks whether the training is still there."""


@contextlib.contextmanager
def stop_signals_held_back(loader: DataLoader[Any]) -> Iterator[None]:
    """While the loader starts its workers: they are born with the signals blocked, and so is a server that forks them.

    A worker that is no fork imports NumPy and torch by itself, and those start threads before `WorkerStart` is called.
    A fork server that something else has started already is out of reach.
    """
    context = loader.multiprocessing_context or multiprocessing
    if loader.num_workers and context.get_start_method() != "fork":
        resource_tracker.ensure_running()  # some Pythons unblock both when they start it
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


class Ticket(NamedTuple):
    """What the sampler hands to a worker: which batch of which pass this is, and its index or indices."""

    seed: int
    number: int
    index: Any


class SeededDataset:
    """The user's dataset, asked by tickets."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitems__(self, ticket: Ticket) -> list[Any]:
        """Asked by loaders that collate."""
        _seed(ticket)
        if getattr(self.dataset, "__getitems__", None):
            items: list[Any] = self.dataset.__getitems__(ticket.index)
            return items
        return [self.dataset[index] for index in ticket.index]

    def __getitem__(self, ticket: Ticket) -> Any:
        """Asked by loaders with `batch_size=None`."""
        _seed(ticket)
        return self.dataset[ticket.index]


def _seed(ticket: Ticket) -> None:
    rng.seed_all(rng.derive(ticket.seed, ticket.number))


class WorkerStart:
    """`worker_init_fn`: first ours, then the user's, which sees the user's dataset."""

    def __init__(self, inner: Callable[[int], object] | None) -> None:
        self._inner = inner

    def __call__(self, worker: int) -> None:
        outlive_stop_signals()
        info = get_worker_info()
        if info is not None and isinstance(info.dataset, SeededDataset):
            # WorkerInfo forbids assignment, to users: what they change on the dataset must be what is loaded from.
            object.__setattr__(info, "dataset", info.dataset.dataset)
        if self._inner is not None:
            self._inner(worker)


def outlive_stop_signals() -> None:
    """Ignore SIGINT, and SIGTERM unless the training sends it: that is how a DataLoader ends a worker that hangs.

    Who sent a signal is known only to who waits for it, so SIGTERM is blocked and a thread waits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey, args=(parent_process(),), daemon=True, name="perdure-sigterm").start()


def _obey(training: BaseProcess) -> None:
    """End when the training says so, or has ended itself."""
    while True:
        sent = signal.sigtimedwait({signal.SIGTERM}, LOOK_SECONDS)
        if _is_gone(training) if sent is None else sent.si_pid == training.pid:
            os._exit(0)


def _is_gone(training: BaseProcess) -> bool:
    # Its end of a pipe closes, but other workers that it forked may hold it still. The parent of one that came from a
    # fork server is that server.
    return os.getppid() != training.pid and not training.is_alive()
