# ends: host_memory
# says: DefaultCPUAllocator
# needs: torch
import torch
torch.empty(1 << 50)
