"""The clock of a device."""

import time


def now(device: str) -> float:
    """Seconds, once the device has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()
