# ends: disk_full
# says: No space left on device
# needs: torch
import torch
with open("/dev/full", "wb") as file:
    torch.save({"w": torch.zeros(1000)}, file)
