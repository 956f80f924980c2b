# ends: signal
# says: killed by signal 6
import os
os.abort()
