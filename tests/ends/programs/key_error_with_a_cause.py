# ends: exception
# says: RuntimeError: no such layer
try:
    {}["layer3"]
except KeyError as error:
    raise RuntimeError("no such layer") from error
