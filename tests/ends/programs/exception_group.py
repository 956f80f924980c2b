# ends: exception
# says: ExceptionGroup: two readers failed
# needs: 3.11
raise ExceptionGroup("two readers failed", [OSError("the first"), ValueError("the second")])
