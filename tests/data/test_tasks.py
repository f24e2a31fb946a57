"""Few-shot tasks: classes of one split are in no other, and an episode has what it says."""

import pytest
import torch

from deqbench.data import datasets, glyphs, tasks
from deqbench.errors import UserError
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import train

SHAPES = {"digits": (1, 8, 8), "glyphs": (1, 16, 16)}


@pytest.fixture(scope="module")
def built() -> dict[str, datasets.Dataset]:
    return {of: datasets.build("tasks", of=of) for of in SHAPES}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("of", SHAPES)
def test_classes_are_disjoint_between_splits_and_every_item_is_in_one(built, of):
    found, total = built[of], {"digits": (10, 1797), "glyphs": (248, 4960)}[of]
    classes = {split: set(getattr(found, f"{split}_labels").tolist()) for split in datasets.SPLITS}
    assert [len(classes[split]) for split in datasets.SPLITS] == [total[0] - 5, 2, 3]
    assert set().union(*classes.values()) == set(range(total[0]))
    assert sum(len(getattr(found, split)) for split in datasets.SPLITS) == total[1]
    assert found.kind == "tasks" and found.train.shape[1:] == SHAPES[of] and found.train.dtype == torch.float32


def test_an_item_keeps_its_class(built):
    """By the items themselves: those of scikit-learn with that label."""
    items, labels, _ = tasks.digits()
    known = {tuple(item): int(label) for item, label in zip(items.flatten(1).tolist(), labels, strict=True)}
    found = built["digits"]
    for split in datasets.SPLITS:
        rows = getattr(found, split).flatten(1).tolist()
        assert [known[tuple(row)] for row in rows] == getattr(found, f"{split}_labels").tolist()


def test_another_seed_deals_other_classes_and_the_same_seed_the_same(built):
    again, other = (datasets.build("tasks", of="digits", seed=seed) for seed in (0, 1))
    assert torch.equal(again.test_labels, built["digits"].test_labels)
    assert set(other.test_labels.tolist()) != set(again.test_labels.tolist())


def test_too_few_classes_left_to_train_are_one_sentence():
    with pytest.raises(UserError, match=r"digits: expected at least 2 of 10 classes left for train; found 1$"):
        datasets.build("tasks", of="digits", tuning_classes=4, test_classes=5)


@pytest.mark.parametrize(("split", "way", "shot", "queries"), [("train", 5, 1, 15), ("test", 3, 5, 2)])
def test_an_episode_has_so_many_of_each_class_and_no_item_twice(built, split, way, shot, queries):
    found = built["glyphs"]
    options = {"way": way, "shot": shot, "queries": queries}
    for seed in range(5):
        one = tasks.episode(found, split, **options, generator=seeded(seed))
        assert one.support_labels.bincount().tolist() == way * [shot]
        assert one.query_labels.bincount().tolist() == way * [queries]
        assert len(set(one.classes.tolist())) == way
        items = torch.cat([one.support, one.query]).flatten(1)
        assert len({tuple(item) for item in items.tolist()}) == way * (shot + queries)
        known = zip(getattr(found, split).flatten(1).tolist(), getattr(found, f"{split}_labels"), strict=True)
        own = {tuple(item): label for item, label in known}
        labels = one.classes[torch.cat([one.support_labels, one.query_labels])]
        assert [int(own[tuple(item)]) for item in items.tolist()] == labels.tolist()


def test_episodes_are_the_same_for_the_same_generator_only(built):
    options = {"way": 5, "shot": 1, "queries": 1}
    one, again, other = (tasks.episode(built["digits"], "train", **options, generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(one.support, again.support) and not torch.equal(one.support, other.support)


def test_tasks_are_a_split_that_a_network_can_be_trained_on(built):
    """Of a linear map the training brings the queries nearer to their class's mean of the support."""

    def loss(net, batch, generator):
        support, labels, query, query_labels = batch
        assert support.shape == (4, 6, 1, 8, 8) and query.shape == (4, 9, 1, 8, 8) and query_labels.shape == (4, 9)
        z, y = net(support.flatten(2)), torch.nn.functional.one_hot(labels).float()
        means = y.transpose(1, 2) @ z / 2
        logits = -torch.cdist(net(query.flatten(2)), means)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), query_labels.flatten())

    torch.manual_seed(0)
    shape = {"way": 3, "shot": 2, "queries": 3}
    splits = {
        "train": tasks.episodes(built["digits"], "train", **shape),
        "tuning": tasks.episodes(datasets.build("tasks", of="digits", tuning_classes=3), "tuning", **shape),
    }
    settings = Optimisation(steps=30, batch=4, lr=1e-2, validate_every=10)
    found = train(torch.nn.Linear(64, 8), loss, splits, settings)
    losses = [value for _, split, _, value in found.history if split == "train"]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"way": 6, "shot": 1, "queries": 1}, "train: expected at least 6 classes; found 5"),
        ({"way": 5, "shot": 100, "queries": 100}, "train: expected at least 200 items of class .; found 1.."),
    ],
)
def test_an_episode_that_the_split_has_not_the_items_for_is_one_sentence(built, options, words):
    with pytest.raises(UserError, match=f"^{words}$"):
        tasks.episode(built["digits"], "train", **options, generator=seeded(0))


def test_letters_are_white_on_black_in_the_middle_and_their_items_differ():
    images, labels, _ = glyphs.glyphs()
    assert images.min() == -1 and images.max() > 0.9 and (labels.bincount() == glyphs.ITEMS).all()
    assert images.flatten(1).max(1).values.min() > 0  # every item shows something
    edge = torch.cat([images[:, 0, 0], images[:, 0, -1], images[:, 0, :, 0], images[:, 0, :, -1]])
    assert (edge > -1).float().mean() < 0.01  # and hardly any reaches the edge
    assert len({item.numpy().tobytes() for item in images[labels == 0]}) == glyphs.ITEMS
