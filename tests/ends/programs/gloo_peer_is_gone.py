# ends: lost_collective
# says: another rank was lost
import sys
sys.stderr.write('''[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 70, in <module>
[rank0]:     dist.all_reduce(t)
[rank0]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:34567
''')
sys.exit(1)
