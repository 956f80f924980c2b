# ends: host_memory
# says: out of memory
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 31, in <module>
    for batch in loader:
  File "torch/utils/data/dataloader.py", line 733, in __next__
    data = self._next_data()
RuntimeError: unable to allocate shared memory(shm) for file </torch_4242_1872_3>: No space left on device (28)
''')
sys.exit(1)
