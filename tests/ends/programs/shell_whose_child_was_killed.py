# ends: signal
# says: signal 9
import os
os.execvp("sh", ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])
