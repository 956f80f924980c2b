# ends: exception
# says: ValueError: reader is gone
import sys, threading
def read():
    raise ValueError("reader is gone")
t = threading.Thread(target=read)
t.start()
t.join()
sys.exit(1)
