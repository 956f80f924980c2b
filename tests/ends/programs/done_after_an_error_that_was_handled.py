# ends: done
import traceback
try:
    raise ValueError("tried the fast path")
except ValueError:
    traceback.print_exc()
print("went on without")
