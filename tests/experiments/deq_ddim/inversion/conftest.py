import pytest

from deqbench import zoo
from deqbench.data import checkpoints, datasets


@pytest.fixture(scope="module")
def network():
    return checkpoints.load(zoo.path("digits"))


@pytest.fixture(scope="module")
def data():
    return datasets.build("digits")
