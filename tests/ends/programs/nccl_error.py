# ends: lost_collective
import sys
sys.stderr.write('''[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 70, in <module>
[rank0]:     dist.all_reduce(t)
[rank0]: torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, remote process exited or there was a network error, NCCL version 2.27.3
[rank0]: ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.
[rank0]: Last error:
[rank0]: socketPollConnect: connect returned Connection refused, exceeded error retry count
''')
sys.exit(1)
