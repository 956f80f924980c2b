# ends: exception
# says: ValueError: expected 3 channels, got 1
def load(channels):
    raise ValueError(f"expected 3 channels, got {channels}")

load(1)
