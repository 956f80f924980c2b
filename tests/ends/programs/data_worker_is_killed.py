# ends: signal
# says: is killed by signal: Killed
# needs: torch
import os, signal, torch
class Data(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    for _ in torch.utils.data.DataLoader(Data(), num_workers=1): pass
