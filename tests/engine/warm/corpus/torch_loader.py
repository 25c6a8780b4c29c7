"""torch: a data loader with worker processes and a data set of __main__; the unseeded generator is seeded."""
# needs: torch

import torch
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(index**2)


if __name__ == "__main__":
    print([batch.tolist() for batch in DataLoader(Squares(), batch_size=4, num_workers=2)])
    torch.manual_seed(1)
    print(torch.rand(3).tolist(), torch.get_num_threads())
