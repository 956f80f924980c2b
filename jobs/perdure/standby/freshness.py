"""What a standby imports early, and whether a fresh interpreter would still import the same.

Nothing of the program's own folder is imported: it may have changed by then, and it comes first in `sys.path` only when
the program begins. What is imported is held to be the same as long as no directory of it has changed, and no name of it
has come into the program's folder.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REHEARSAL = "perdure_rehearsal"
PRELOAD = "preload.json"

_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/renderD")


class Unfit(Exception):
    """Why this process is no good as a standby."""


class Freshness:
    """What was imported, and whether a fresh interpreter would import the same."""

    def __init__(self, here: str) -> None:
        self._here = here
        self._own = set(sys.modules)
        """What Python had imported by itself: nothing in the program's folder can stand before that."""
        self._folder = _find_folder()
        self._changed: dict[str, int] = {}

    def prepare(self) -> int:
        """Imports, makes the throw-away step, and returns how many words the command has. Raises Unfit."""
        import json

        with open(os.path.join(self._here, PRELOAD), encoding="utf-8") as file:
            told = json.load(file)
        before = dict(os.environ)
        if told["environ"] is not None:
            # As it was when the attempt before imported the same: a program may set what a module reads.
            os.environ.clear()
            os.environ.update(told["environ"])
        self._import_all(told["modules"])
        _rehearse(self._here)
        os.environ.clear()
        os.environ.update(before)
        _forget_warnings()
        _refuse_what_others_would_miss()
        self._changed = dict(self._list_directories())
        return int(told["words"])

    def _import_all(self, names: list[str]) -> None:
        main: Any = sys.modules["__main__"]
        if sys.argv[0] not in ("-m", "-c"):
            main.__file__ = os.path.abspath(sys.argv[0])  # there are modules that look whether a person sits there
        for name in names:
            if name in sys.modules or self._is_overshadowed(name.partition(".")[0]):
                continue
            try:
                __import__(name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the program will see for itself
                report(error, f"{name} could not be imported: ")
        vars(main).pop("__file__", None)

    def _is_overshadowed(self, name: str) -> bool:
        """The program's folder comes first: what is there under this name is the program's own."""
        path = os.path.join(self._folder, name)
        return os.path.isfile(path + ".py") or os.path.isdir(path)

    def holds(self, workdir: str) -> bool:
        """Whether a fresh interpreter would come to the same point now."""
        try:
            is_same_place = os.path.samefile(os.getcwd(), workdir)
        except OSError:
            return False
        tops = {name.partition(".")[0] for name in sys.modules} - self._own
        return (
            is_same_place
            and all(_read_change(path) == at for path, at in self._changed.items())
            and not any(self._is_overshadowed(name) for name in tops & _list_names(self._folder))
        )

    def _list_directories(self) -> list[tuple[str, int]]:
        """Of everything that was imported, with the time of their last change."""
        files = (vars(module).get("__file__") for module in _list_modules())
        directories = {os.path.dirname(file) for file in files if isinstance(file, str)}
        return [(path, _read_change(path)) for path in directories]


def _list_modules() -> list[Any]:
    """Without what only looks like one, and answers in its own way."""
    return [module for module in list(sys.modules.values()) if isinstance(module, type(sys))]


def _forget_warnings() -> None:
    """Those that were seen: each is shown again."""
    for module in _list_modules():
        vars(module).pop("__warningregistry__", None)
    warnings: Any = sys.modules.get("warnings")
    if warnings is not None:
        warnings.onceregistry.clear()


def _find_folder() -> str:
    """What will come first in `sys.path`."""
    if sys.argv[0] in ("-m", "-c"):
        return os.getcwd()
    program = os.path.realpath(sys.argv[0])
    return program if os.path.isdir(program) else os.path.dirname(program)


def _rehearse(here: str) -> None:
    """Much of torch is made ready at its first use."""
    if "torch" not in sys.modules:
        return
    sys.path.insert(0, here)
    try:
        __import__(REHEARSAL)
    except Exception as error:  # noqa: BLE001 - it is a gain where it works, and nothing depends on it
        report(error, "the throw-away step failed: ")
    finally:
        sys.path.remove(here)
        sys.path_importer_cache.pop(here, None)
        sys.modules.pop(REHEARSAL, None)


def _refuse_what_others_would_miss() -> None:
    for name in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if path.startswith(_DEVICES):
            raise Unfit(f"what it imports opens a GPU ({path}), which the attempt that runs needs")
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    raise Unfit("what it imports starts processes")


def _read_change(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _list_names(folder: str) -> set[str]:
    try:
        return {name.partition(".")[0] for name in os.listdir(folder)}
    except OSError:
        return set()


def report(error: BaseException, before: str = "") -> None:
    """Into the standby's log."""
    try:
        sys.stderr.write(f"perdure: standby: {before}{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110 - there is nobody left to tell
        pass
