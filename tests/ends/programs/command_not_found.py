# ends: exit_code
# says: not found
import os
os.execvp("sh", ["sh", "-c", "acelerate launch train.py"])
