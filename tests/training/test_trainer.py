"""The loop does what its settings say: updates, averages, validations, stops."""

import pytest
import torch
from torch import nn

from deqbench.errors import UserError
from deqbench.training.settings import Optimisation
from deqbench.training.trainer import step_generator, train


def line(value: float = 0.0) -> nn.Module:
    """y = w x, with w as given."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, value)
    return net


ONES = (torch.ones(4, 1), torch.ones(4, 1))


def squared(net, batch, generator):
    return (net(batch[0]) - batch[1]).square().mean()


def settings(**changes) -> Optimisation:
    return Optimisation(**{"steps": 10, "batch": 4, "lr": 0.1, **changes})


def scripted(values):
    """A metric that reads its values from a list, one a validation."""
    left = iter(values)
    return lambda net, batch, generator: torch.tensor(next(left))


def watched(values, **changes):
    """A training whose loss on `tuning`, measured after every update, is that list."""
    options = settings(validate_every=1, **changes)
    return train(line(), squared, {"train": ONES, "tuning": ONES}, options, metrics={"scripted": scripted(values)})


def test_updates_are_those_of_torch_s_own_optimiser_on_the_same_draws():
    x = torch.randn(12, 1, generator=torch.Generator().manual_seed(0))
    y = x.square()  # so that the slope's sign and length depend on the rows drawn
    found = train(line(), squared, {"train": (x, y)}, settings(steps=7, seed=5, clip=0.5))
    net = line()
    adam = torch.optim.Adam(net.parameters(), lr=0.1)
    for step in range(7):
        k = torch.randint(12, (4,), generator=step_generator(5, step))
        adam.zero_grad()
        squared(net, (x[k], y[k]), None).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        adam.step()
    assert torch.equal(found.weights["weight"], net.weight) and found.step == 7


@pytest.mark.parametrize(
    ("values", "patience", "best", "last"),
    [
        ([5, 4, 3, 2, 1, 0.9, 0.8, 0.7, 0.6, 0.5], 2, 10, 10),  # always better
        ([5, 4, 4, 4, 1, 0, 0, 0, 0, 0], 2, 2, 4),  # equal is not better, and what would come later is not seen
        ([5, 4, 6, 3, 7, 7, 2, 9, 9, 1], 3, 10, 10),
        ([5, 4, 6, 3, 7, 7, 7, 1, 1, 1], 3, 4, 7),
        ([5, float("nan"), float("nan"), 1, 1, 1, 1, 1, 1, 1], 2, 1, 3),
        ([5, 6, 7, 8, 9, 9, 9, 9, 9, 0], None, 10, 10),
    ],
)
def test_the_best_validation_is_kept_and_patience_ends_the_training(values, patience, best, last):
    found = watched(values, patience=patience)
    assert found.step == best
    assert [row[0] for row in found.history if row[1] == "tuning"] == list(range(1, last + 1))
    after = train(line(), squared, {"train": ONES}, settings(steps=best))
    assert torch.equal(found.weights["weight"], after.weights["weight"])
    assert ("in a row" in found.stop) == (last < 10)


def test_validations_come_at_their_steps_and_at_the_end_and_see_every_row_once():
    seen = []

    def metric(net, batch, generator):
        seen.append(batch[0].flatten().tolist())
        return batch[0].mean()

    rows = torch.arange(6.0).view(-1, 1)
    splits = {"train": ONES, "tuning": (rows, rows)}
    found = train(line(), squared, splits, settings(steps=7, validate_every=3), metrics={"mean": metric})
    assert [(row[0], row[3]) for row in found.history if row[1] == "tuning"] == [(3, 2.5), (6, 2.5), (7, 2.5)]
    assert seen == 3 * [[0, 1, 2, 3], [4, 5]]


def test_validations_are_without_dropout_and_change_no_update():
    def net():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def mode(module, batch, generator):
        assert not module.training
        return squared(module, batch, generator)

    splits = {"train": ONES, "tuning": ONES}
    plain = train(net(), squared, splits, settings(ema_decay=0.5))
    watched = train(net(), squared, splits, settings(ema_decay=0.5, validate_every=2), metrics={"loss": mode})
    assert [row for row in watched.history if row[1] == "train"] == plain.history


def test_averaged_weights_are_the_average_and_are_what_is_validated():
    seen = []

    def metric(net, batch, generator):
        seen.append(net.weight.item())
        return net.weight.square().sum()

    net, average = line(), 0.0
    found = train(
        net, squared, {"train": ONES, "tuning": ONES}, settings(ema_decay=0.3, validate_every=1), metrics={"w": metric}
    )
    for step in range(10):
        keep = min(0.3, (1 + step) / (10 + step))
        w = train(line(), squared, {"train": ONES}, settings(steps=step + 1)).weights["weight"]
        average = keep * average + (1 - keep) * float(w)
        assert seen[step] == pytest.approx(average, rel=1e-5)
    assert float(found.weights["weight"]) == pytest.approx(seen[0]) and found.step == 1


def test_the_average_of_tied_weights_is_tied():
    net = nn.Sequential(line(0.5), line())
    net[1].weight = net[0].weight
    weights = train(net, squared, {"train": ONES}, settings(ema_decay=0.9)).weights
    assert torch.equal(weights["0.weight"], weights["1.weight"]) and not torch.equal(weights["0.weight"], net[0].weight)


@pytest.mark.parametrize("good", [0, 3])
def test_a_loss_that_is_not_finite_ends_the_training_with_a_sentence_and_the_best_snapshot(good):
    calls = []

    def loss(net, batch, generator):
        calls.append(1)
        return squared(net, batch, generator) * (1.0 if len(calls) <= 4 else torch.nan)

    options = settings(validate_every=3 if good else None)
    splits = {"train": ONES, "tuning": ONES}
    sentence = "train loss: expected a finite number; found nan at update 5"
    if not good:
        with pytest.raises(UserError, match=f"^{sentence}$"):
            train(line(), loss, splits, options)
        return
    found = train(line(), loss, splits, options, metrics={"loss": squared})
    assert found.stop == sentence and found.step == 3 and found.history[-1][:3] == (5, "train", "loss")
    assert torch.equal(found.weights["weight"], train(line(), squared, splits, settings(steps=3)).weights["weight"])


def test_a_last_update_that_spoils_the_weights_is_one_sentence():
    def loss(net, batch, generator):
        return net.weight.sqrt().sum()  # finite at 0, its slope is not

    with pytest.raises(UserError, match=r"^weights: expected finite numbers; found others after the last update$"):
        train(line(), loss, {"train": ONES}, settings(steps=1))


def test_a_split_that_is_a_function_is_drawn_from_at_every_update_and_validation():
    sizes = []

    def draw(size, generator):
        sizes.append(size)
        x = torch.randn(size, 1, generator=generator)
        return x, 2 * x

    found = train(line(), squared, {"train": draw, "tuning": draw}, settings(steps=4, validate_every=4))
    again = train(line(), squared, {"train": draw, "tuning": draw}, settings(steps=4, validate_every=4))
    assert sizes == 2 * (4 + 16) * [4] and found.history == again.history


def test_a_loss_that_needs_gradients_can_be_validated():
    """A score: the derivative of the output by the input."""

    def loss(net, batch, generator):
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        return slope.square().mean() + net(batch[0]).mean()

    found = train(line(1.0), loss, {"train": ONES, "tuning": ONES}, settings(validate_every=5))
    assert found.step == 10


def test_bfloat16_is_used_where_it_is_asked_for():
    seen = []

    def loss(net, batch, generator):
        out = net(batch[0])
        seen.append(out.dtype)
        return out.float().square().mean()

    for bf16 in (False, True):
        train(line(1.0), loss, {"train": ONES}, settings(steps=1, bf16=bf16))
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize(
    "changes", [{"patience": 2}, {"steps": 0}, {"lr": 0.0}, {"ema_decay": 1.0}, {"clip": 0.0}, {"stepz": 1}]
)
def test_settings_out_of_bounds_are_refused(changes):
    with pytest.raises(ValueError):
        settings(**changes)


def test_validations_without_a_tuning_split_are_refused():
    with pytest.raises(ValueError, match=r"^splits: expected 'tuning' among them, to validate on; found train, test$"):
        train(line(), squared, {"train": ONES, "test": ONES}, settings(validate_every=1))
