# ends: signal
# says: killed by signal 11
import ctypes
ctypes.string_at(0)
