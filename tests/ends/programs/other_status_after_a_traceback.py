# ends: exception
# says: ValueError: no epoch left
import logging, sys
try:
    raise ValueError("no epoch left")
except ValueError:
    logging.exception("training failed")
    sys.exit(3)
