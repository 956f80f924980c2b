# ends: exception
# says: ValueError: bad sample
# needs: torch
import torch
class Data(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): raise ValueError(f"bad sample {i}")
if __name__ == "__main__":
    for _ in torch.utils.data.DataLoader(Data(), num_workers=1): pass
