# ends: exception
# says: Error(s) in loading state_dict
# needs: torch
import torch
torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(3, 2)})
