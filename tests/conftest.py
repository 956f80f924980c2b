"""What every test can rely on: nothing of the user's own Perdure is seen, random tests can be repeated, and a process
that a test leaves behind fails the run instead of staying on the machine."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from support.leftovers import MARK, kill_leftovers, wait_for_leftovers

# Two workers share two cores; a job that a test starts inherits this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in [name for name in os.environ if name.startswith("PERDURE_")] + ["NOTIFY_SOCKET", "WATCHDOG_USEC"]:
    os.environ.pop(name, None)

# A run in the background of a script inherits that Ctrl-C is ignored, and so would what a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no failure of the rule under test; the seed of a failure is printed with its example.
settings.register_profile(
    "perdure", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("perdure")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs what this machine lacks is skipped: the daemon half must pass without torch, and as nobody."""
    lacking = {"torch": find_spec("torch") is None, "root": os.geteuid() != 0}
    for item in items:
        for marker in (name for name, is_lacking in lacking.items() if is_lacking and item.get_closest_marker(name)):
            item.add_marker(pytest.mark.skip(reason=f"needs {marker}"))


@pytest.fixture(scope="session", autouse=True)
def _no_process_stays() -> Iterator[None]:
    """Whatever the tests of this worker started, keepers and orphans included, has ended when they have."""
    mark = uuid.uuid4().hex
    os.environ[MARK] = mark
    yield
    left = wait_for_leftovers(mark, ceiling=10.0)
    kill_leftovers(left)
    assert not left, "tests left these processes behind: " + "; ".join(sorted(left.values()))
