# ends: signal
# says: killed by signal 11
import ctypes, faulthandler
faulthandler.enable()
def read():
    ctypes.string_at(0)
read()
