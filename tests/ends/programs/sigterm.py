# ends: signal
# says: killed by signal 15
import os
os.kill(os.getpid(), 15)
