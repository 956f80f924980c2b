"""What a job says to its keeper about its arena, in a few words for scripts of tests; without torch."""

from __future__ import annotations

from pathlib import Path

import perdured

JOB = f"""
sys.path.insert(0, {str(Path(perdured.__file__).parents[1])!r})
import json, socket
from perdured.contract import environment
from perdured.contract.sockets import connect_unix
from perdured.contract.checkpoint.arena import BLOCK, Part, Snapshot, create_arena
from perdured.contract.checkpoint.manifest import Facts

keeper = connect_unix(os.environ[environment.CHANNEL], 20)
answers = keeper.makefile("rb")
arena = create_arena(BLOCK)
place = {{"root": os.path.join(os.getcwd(), "checkpoints"), "keep": 3}}

def tell(**message): keeper.sendall(json.dumps(message).encode() + b"\\n")
def hear(): return json.loads(answers.readline())
def hand_over():
    socket.send_fds(keeper, [json.dumps({{"type": "memory", **place}}).encode() + b"\\n"], [arena.descriptor])
    return hear()["type"]
def take(step, generation):
    content = f"state of step {{step}}".encode()
    arena.begin(generation % 2)
    arena.slot(generation % 2)[:len(content)] = content
    part = Part("a.bin", 0, len(content))
    arena.finish(generation % 2, Snapshot(generation, step, (part,), Facts("job", 1, "run")))
def commit(generation, urgent=False, **more):
    tell(type="commit", generation=generation, protect=None, urgent=urgent, **more)
    return hear()
def soon(seconds): return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
def die(): os.kill(os.getpid(), signal.SIGKILL)

tell(type="hello", role="job", version=1)
"""
