"""The only module that syncs and renames durable files.

Rules, each of which somebody has lost data by breaking:

- A file is on the disk when its `fsync` returned 0, and its *name* is when the `fsync` of its directory did. A new
  directory is an entry in its parent, which needs an `fsync` of its own.
- The `fsync` comes before the rename. Otherwise a file system may keep the name and drop the bytes: an empty file
  under the final name.
- A failed `fsync` is final. The kernel may drop the pages and report success the next time, so the file is given up
  and never synced again.
- `close` is checked: network file systems report there what they could not write.
- A temporary file is created exclusively and never through a link, under a name that nobody else will pick.
- `rename` replaces an *empty directory* without a word; only `RENAME_NOREPLACE` refuses.

Known limits: where a file system cannot sync a directory (`EINVAL`), nothing more can be asked of it. A disk that
reports a flush it did not make is beyond any program.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from perdured.contract.strictjson import parse_json

Buffer = bytes | bytearray | memoryview

_MAX_DEPTH = 64
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_NO_SUCH_RENAME = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_NO_SUCH_LINK = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK)
_libc = ctypes.CDLL(None, use_errno=True)


# Writing ---------------------------------------------------------------------------------------------------------


def make_directories(path: Path, mode: int = 0o755) -> None:
    """Like `makedirs(exist_ok=True)`, and each new directory's entry in its parent is durable.

    Errors: OSError; FileExistsError or NotADirectoryError where something else has the name.
    """
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        # One that appears meanwhile is another process's, which may not have synced it yet: sync in any case.
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, mode)
        if not directory.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
        fsync_directory(directory.parent)


def fsync_directory(path: Path) -> None:
    """Make the entries of a directory durable: what was created, renamed or removed in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def fsync_ancestors(path: Path) -> None:
    """Make the way down to `path` durable, for directories that somebody else made and may not have synced.

    Goes up to the mount point. A directory that may not be opened is passed over: who cannot read it did not make it.
    """
    path = Path(os.path.abspath(path))
    device = os.stat(path).st_dev
    for ancestor in path.parents:
        if os.stat(ancestor).st_dev != device:
            return
        with contextlib.suppress(PermissionError):
            fsync_directory(ancestor)


def create_file(path: Path, buffers: Iterable[Buffer], *, mode: int = 0o644) -> None:
    """Create a file exclusively, write every byte, fsync, close. Its name is not durable yet.

    On an error the partial file stays for the caller to remove; it must not be synced or published any more.
    """

    def fill(descriptor: int) -> None:
        for buffer in buffers:
            write_all(descriptor, buffer)

    create_filled(path, fill, mode=mode)


def create_filled(path: os.PathLike[str], fill: Callable[[int], None], *, mode: int = 0o644) -> None:
    """The same, where `fill` writes the bytes to the descriptor that it is given."""
    descriptor = create_exclusively(path, mode=mode)
    try:
        fill(descriptor)
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)


def create_exclusively(path: os.PathLike[str], *, mode: int = 0o644) -> int:
    """A descriptor of a new file, for writing. FileExistsError if anything, even a dangling link, has the name."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write_all(descriptor: int, buffer: Buffer) -> None:
    view = memoryview(buffer)
    if not view.nbytes:
        return  # `cast` refuses a view with a zero in its shape
    view = view.cast("B")
    while view.nbytes:
        written = os.write(descriptor, view)
        check_progress(written)
        view = view[written:]


def check_progress(written: int) -> None:
    """A write that takes nothing and says nothing would be tried again for ever."""
    if not written:
        raise OSError(errno.EIO, "the file system takes no bytes and gives no reason")


def write_file(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Put `data` at `path`, durably and in one piece: at any moment readers see the old file or the new one.

    With `replace=False` an existing file is left alone: FileExistsError. Errors: OSError, after the temporary file
    was removed; then `path` is as before, or, if only the last sync failed, new but perhaps not durable.
    """
    write_buffers(path, [data], mode=mode, replace=replace)


def write_buffers(path: Path, buffers: Iterable[Buffer], *, mode: int = 0o644, replace: bool = True) -> None:
    """As `write_file`, for what need not be in memory at once."""
    temporary = path.with_name(f".{path.name}.tmp-{make_token()}")
    try:
        create_file(temporary, buffers, mode=mode)
        if replace:
            os.rename(temporary, path)
        else:
            rename_noreplace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_directory(path.parent)


def make_token() -> str:
    """Twelve hex digits that nobody else will pick."""
    return os.urandom(6).hex()


# Renaming --------------------------------------------------------------------------------------------------------


def rename_noreplace(source: Path, target: Path) -> None:
    """Rename, and refuse with FileExistsError if `target` exists, be it an empty directory.

    Where the file system has no such rename (NFS, some FUSE), the name is claimed by an exclusive call first: `mkdir`
    for a directory, over which the plain rename then goes, `link` for a file. A crash in between leaves an empty
    directory, or a file with two names.
    """
    try:
        renameat2(source, target)
    except OSError as error:
        if error.errno not in _NO_SUCH_RENAME:
            raise
        _rename_by_claim(source, target)


def renameat2(source: Path, target: Path) -> None:
    """The system call with `RENAME_NOREPLACE`; ENOSYS where the C library lacks it."""
    function = getattr(_libc, "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(source), None, str(target))
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(source), None, str(target))


def _rename_by_claim(source: Path, target: Path) -> None:
    if stat.S_ISDIR(os.lstat(source).st_mode):
        os.mkdir(target)
        try:
            os.rename(source, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(target)
            raise
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_SUCH_LINK:
            raise
        os.close(create_exclusively(target))
        os.rename(source, target)
    else:
        os.unlink(source)


# Locks -----------------------------------------------------------------------------------------------------------


def lock(descriptor: int) -> None:
    """Hold the file's lock until the descriptor is closed or the process dies. Nothing where there are no locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock(descriptor: int) -> bool:
    """Whether the lock was free and is now held. False also where locks do not work: unknown is not dead."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# Removing --------------------------------------------------------------------------------------------------------


def remove_tree(path: Path) -> None:
    """Delete a directory and all in it, through descriptors: no link is followed, no other file system entered.

    Errors: OSError (ENOTDIR for a link or a file, EXDEV at a mount point, ELOOP beyond 64 levels); what was not
    deleted stays.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove_directory(parent, path.name, 0)
    finally:
        os.close(parent)


def _remove_directory(parent: int, name: str, depth: int) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        if os.fstat(descriptor).st_dev != os.fstat(parent).st_dev:
            raise OSError(errno.EXDEV, "another file system is mounted here", name)
        if depth > _MAX_DEPTH:
            raise OSError(errno.ELOOP, "nested too deep", name)
        for entry in os.listdir(descriptor):
            # Another process may be clearing the same tree.
            with contextlib.suppress(FileNotFoundError):
                _remove_entry(descriptor, entry, depth + 1)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def _remove_entry(parent: int, name: str, depth: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        _remove_directory(parent, name, depth)
    else:
        os.unlink(name, dir_fd=parent)


# Reading ---------------------------------------------------------------------------------------------------------


def load_json(path: Path, limit: int = 64 << 20) -> object:
    """The value of a JSON file. Errors: OSError; ValueError with the reason for anything but strict JSON.

    `limit` is in bytes. Only regular files are read: a FIFO with the name would wait for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return parse_json(read_regular(descriptor, limit))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    finally:
        os.close(descriptor)


def read_regular(descriptor: int, limit: int) -> bytes:
    """All bytes of an open regular file. ValueError if it is none, or has more than `limit` bytes."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ValueError("not a regular file")
    pieces: list[bytes] = []
    left = limit + 1
    while left > 0 and (piece := os.read(descriptor, min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise ValueError(f"larger than {limit} bytes")
    return b"".join(pieces)
