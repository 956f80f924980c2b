# ends: cuda_error
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 5, in <module>
    model.cuda()
  File "torch/cuda/__init__.py", line 412, in _lazy_init
    torch._C._cuda_init()
RuntimeError: No CUDA GPUs are available
''')
sys.exit(1)
