# ends: exception
# says: Torch not compiled with CUDA enabled
# needs: torch
import torch
torch.zeros(1, device="cuda")
