# ends: host_memory
import sys
sys.stderr.write('''ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).
Traceback (most recent call last):
  File "train.py", line 31, in <module>
    for batch in loader:
RuntimeError: DataLoader worker (pid 4243) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.
''')
sys.exit(1)
