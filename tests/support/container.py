"""The image of the Dockerfile without a container engine: its final stage built over the root of this machine, and run
as an engine runs it: as process 1 of its own namespaces, without a capability, under a read-only root. Needs root.

The RUN line is run as it stands. Only `pip` is another there: it installs the wheel with what this interpreter already
has of its dependencies, so that no index has to be reached.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .cgroups import TestCgroup
from .daemons import wait_for
from .dockerfile import read_all, read_env, read_last
from .layers import LayeredRoot
from .sources import ROOT

_PIP = """#!/bin/sh
set -eu
shift
for word in "$@"; do case "$word" in *.whl) wheel=$word ;; esac; done
exec {python} -m pip install --quiet --no-index --no-deps --no-compile --ignore-installed --prefix=/usr/local "$wheel"
"""

_RUN = """
set -eu
cd "$ROOT"
mount -t proc proc proc
mkdir -p .old
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for node in null zero full random urandom; do : > "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mount --bind "$DATA" data
mount -o remount,bind,ro .
pivot_root . .old
cd /
umount -l /.old
cd "$WORKDIR"
exec env -u OLDPWD PATH="$IMAGE_PATH" setpriv --reuid="$USER_ID" --regid="$GROUP_ID" --clear-groups \\
    --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


class Image:
    """What `docker build` leaves: a root file system, and what stands in it about running it."""

    def __init__(self, base: Path) -> None:
        self.layers = LayeredRoot(base)
        wheels, shims = self.layers.find("/wheels"), self.layers.find("/shims")
        wheels.mkdir()
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
        shutil.copy(ROOT / "constraints.txt", wheels)
        shims.mkdir()
        (shims / "pip").write_text(_PIP.format(python=sys.executable))
        (shims / "pip").chmod(0o755)
        for line in read_all("RUN"):
            self._run(line)

    def _run(self, line: str) -> None:
        env = {**read_env(), "PATH": "/shims:/usr/sbin:/usr/bin:/sbin:/bin"}
        command = [*self.layers.enter, "chroot", str(self.layers.root), "sh", "-c", line]
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)

    def start(self, name: str, data: Path, *arguments: str) -> Container:
        """With other arguments than the image's own, if there are any."""
        entry = json.loads(read_last("ENTRYPOINT"))
        return self.start_other(name, data, *entry, *(arguments or json.loads(read_last("CMD"))))

    def start_other(self, name: str, data: Path, *command: str) -> Container:
        """With another entry point."""
        return Container(self, name, data, command)

    def close(self) -> None:
        self.layers.close()


class Container:
    """One run of the image."""

    def __init__(self, image: Image, name: str, data: Path, command: tuple[str, ...]) -> None:
        user, group = read_last("USER").split(":")
        data.mkdir(exist_ok=True)
        os.chown(data, int(user), int(group))
        self._cgroup = TestCgroup(f"test-{os.getpid()}-{name}")
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc"]
        where = {"ROOT": str(image.layers.root), "DATA": str(data), "WORKDIR": read_last("WORKDIR")}
        env = {**where, "USER_ID": user, "GROUP_ID": group, "HOME": "/home/perdure", **read_env()}
        # The interpreter is this one, of an environment of its own, which does not look where an image's does.
        env["PYTHONPATH"] = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        self.process = subprocess.Popen(
            self._cgroup.wrap(*image.layers.enter, *unshare, "sh", "-c", _RUN, "run", *command),
            env={**env, "IMAGE_PATH": "/usr/local/bin:/usr/bin:/bin", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def find_first(self) -> int:
        """Process 1, by its PID outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = wait_for(lambda: children.read_text().split(), "process 1")
        return int(found[0])

    def stop(self) -> None:
        """As `docker stop` begins."""
        subprocess.run(["kill", "-s", read_last("STOPSIGNAL"), str(self.find_first())], check=True)

    def wait(self, ceiling: float = 40.0) -> tuple[int, str]:
        """The exit status, and all that was printed."""
        said, _ = self.process.communicate(timeout=ceiling)
        return self.process.returncode, said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._cgroup.remove()


@contextlib.contextmanager
def built_image(base: Path) -> Iterator[Image]:
    image = Image(base)
    try:
        yield image
    finally:
        image.close()
