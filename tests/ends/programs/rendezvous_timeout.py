# ends: lost_collective
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 9, in <module>
    dist.init_process_group("gloo")
torch.distributed.DistStoreError: Timed out after 301 seconds waiting for clients. 1/2 clients joined.
''')
sys.exit(1)
