"""What tests of checkpoints share."""

from pathlib import Path

import pytest

from tests.data.stored_networks import unet


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """A tiny network and its scheduler, as diffusers writes them."""
    from diffusers import DDIMScheduler

    folder = tmp_path_factory.mktemp("saved") / "tiny"
    unet().save_pretrained(folder)
    DDIMScheduler(clip_sample=False).save_pretrained(folder)
    return folder
