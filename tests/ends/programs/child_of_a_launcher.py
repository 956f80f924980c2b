# ends: exception
# says: ValueError: bad config
import subprocess, sys
subprocess.run([sys.executable, "-c", "raise ValueError('bad config')"], check=True)
