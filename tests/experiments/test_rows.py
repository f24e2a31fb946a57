"""Rows of metrics by image."""

import torch

from deqbench.experiments.rows import of_images


def test_every_value_of_every_metric_is_a_row_with_the_keys_and_its_unit():
    metrics = {"loss": torch.tensor([0.1, 2.0]), "seconds": [3]}
    assert list(of_images(metrics, {"seconds": "s"}, method="ddim", T=5)) == [
        {"method": "ddim", "T": 5, "image": 0, "metric": "loss", "value": float(torch.tensor(0.1)), "unit": ""},
        {"method": "ddim", "T": 5, "image": 1, "metric": "loss", "value": 2.0, "unit": ""},
        {"method": "ddim", "T": 5, "image": 0, "metric": "seconds", "value": 3.0, "unit": "s"},
    ]
