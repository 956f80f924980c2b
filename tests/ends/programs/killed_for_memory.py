# ends: host_memory
# says: the kernel killed it
# needs: memory cgroup
import os
group = "/sys/fs/cgroup/memory/perdure-test-" + str(os.getpid())
os.mkdir(group)
with open(group + "/memory.limit_in_bytes", "w") as file:
    file.write(str(64 << 20))
parent = os.getpid()
if os.fork() == 0:
    import time
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.01)
    os.rmdir(group)
    os._exit(0)
with open(group + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
kept = bytearray(b"x") * (256 << 20)
