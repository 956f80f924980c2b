# ends: signal
# says: signal 9
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "/usr/bin/torchrun", line 8, in <module>
    sys.exit(main())
  File "torch/distributed/launcher/api.py", line 271, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-24_10:11:12
  host      : box
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 4244)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4244
============================================================
''')
sys.exit(1)
