# ends: gpu_fault
# says: GPU fault
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 52, in <module>
    loss.backward()
RuntimeError: CUDA error: uncorrectable ECC error encountered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
''')
sys.exit(1)
