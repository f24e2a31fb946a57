"""One torch thread a test process: the states are tiny, and tests run side by side."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported; commands under test inherit it

import torch

torch.set_num_threads(1)
