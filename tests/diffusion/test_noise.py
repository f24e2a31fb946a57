import torch

from deqbench.diffusion import noise


def test_an_image_starts_the_same_in_any_batch_and_order():
    whole = noise.x_T(3, range(6), (1, 8, 8))
    assert torch.equal(noise.x_T(3, [4, 1], (1, 8, 8)), whole[[4, 1]])
    steps = noise.step_noise(3, range(3), 5, (1, 8, 8))
    assert torch.equal(noise.step_noise(3, [2], 5, (1, 8, 8)), steps[2:])


def test_seeds_images_and_streams_draw_differently_and_standard_normal():
    draws = torch.cat(
        [noise.x_T(seed, range(50), (1, 8, 8)) for seed in (0, 1)]
        + [noise.step_noise(0, range(50), 1, (1, 8, 8))[:, 0]]
    )
    assert len(draws.flatten(1).unique(dim=0)) == 150
    assert abs(float(draws.mean())) < 0.05
    assert abs(float(draws.std()) - 1) < 0.05
