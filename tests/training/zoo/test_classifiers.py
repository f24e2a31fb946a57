"""Feature extractors: what they are to tell apart, and that they learn it, the same each time."""

import torch

from deqbench.data import datasets
from deqbench.training.trainer import step_generator
from deqbench.training.zoo import classifiers
from tests.training.zoo.small import fresh, recipe, same, trained


def test_a_classifier_learns_the_digits_in_a_few_steps_and_the_same_ones_again():
    digits, job = datasets.digits(), recipe("classifier", task="labels", steps=60, batch=32, lr=4e-3)
    plans = []
    for _ in range(2):
        plans.append(fresh(classifiers.plan, job, digits))
        plans[-1].net.load_state_dict(trained(plans[-1]))  # dropout draws from torch's own generator: at once
    assert same(*(plan.net.state_dict() for plan in plans))
    net = plans[0].net.eval()
    assert plans[0].finish(net)["test_accuracy"] > 0.5  # chance is a tenth
    features = net.features(digits.train)
    torch.testing.assert_close(features.std(0), torch.ones(32), rtol=0, atol=1e-3)


def test_every_corruption_spoils_its_images_and_none_of_the_others():
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for kind, name in enumerate(classifiers.CORRUPTIONS):
        spoilt = classifiers.corrupt(images, kind, step_generator(0, 0))
        moved = (spoilt - images).flatten(1).abs().amax(1)
        assert spoilt.shape == images.shape and ((moved > 0.01).all() if name != "none" else (moved == 0).all()), name


def test_classes_of_corruptions_are_as_many_as_each_other_in_a_batch():
    found = datasets.tissue()
    images, classes = classifiers.spoilt(found.train[:60], step_generator(0, 0))
    assert images.shape == (60, 3, 16, 16) and classes.bincount().tolist() == 6 * [10]
