# ends: exception
# says: ValueError: bad batch
import atexit, sys
atexit.register(lambda: print("run summary:\n  loss 0.31\n  synced 5 files", file=sys.stderr))
raise ValueError("bad batch")
