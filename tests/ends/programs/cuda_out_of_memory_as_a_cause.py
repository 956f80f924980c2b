# ends: gpu_memory
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 80, in step
    out = model(x)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 15.94 GiB is free. Including non-PyTorch memory, this process has 63.15 GiB memory in use. Of the allocated memory 62.50 GiB is allocated by PyTorch, and 12.30 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "train.py", line 88, in <module>
    step()
RuntimeError: step 1200 failed
''')
sys.exit(1)
