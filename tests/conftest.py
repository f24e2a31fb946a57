"""One torch thread a test process: the states are tiny, and tests run side by side."""

import torch

torch.set_num_threads(1)
