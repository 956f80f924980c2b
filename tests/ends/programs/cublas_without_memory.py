# ends: gpu_memory
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 40, in <module>
    y = torch.nn.functional.linear(x, w)
RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`
''')
sys.exit(1)
