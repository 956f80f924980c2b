# ends: signal
# says: killed by signal 9
import os, sys, traceback
try:
    raise ValueError("tried the fast path")
except ValueError:
    traceback.print_exc()
sys.stderr.flush()
os.kill(os.getpid(), 9)
