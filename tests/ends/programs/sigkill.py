# ends: signal
# says: killed by signal 9
import os
os.kill(os.getpid(), 9)
