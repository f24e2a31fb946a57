"""A training that is looked at is the training that it would be."""

import torch

from deqbench.experiments.deq_score_matching.phantom.following import Followed, follow, rounded
from deqbench.experiments.deq_score_matching.phantom.probes import compared
from deqbench.training.trainer import train
from deqbench.training.zoo.densities import started
from tests.experiments.deq_score_matching.phantom.small import FORM, follow_job, rows


def weights(job) -> dict[str, torch.Tensor]:
    net = started(FORM, rows(), job.first_seed)
    seen = Followed(job, net, len(rows()))
    settings = job.method.optimisation.model_copy(update={"seed": job.first_seed})
    return train(net, seen, {"train": (rows(), torch.arange(len(rows())))}, settings).weights


def test_looking_changes_nothing():
    often, never = (weights(follow_job(every=every, objective="ssm")) for every in (1, 1000))
    assert all(torch.equal(often[name], never[name]) for name in often)


def test_every_so_many_updates_are_told_and_the_last_ones_are_late():
    seen = follow(follow_job(), rows(), lambda step, loss: None)
    errors = [row for row in seen.by_step if row["metric"] == "score_error"]
    assert [row["step"] for row in errors] == [0, 2, 4, 6]
    assert [row["part"] for row in errors] == ["early", "early", "early", "late"]
    assert [row["epoch"] for row in errors] == [0, 0.5, 1, 1.5] and {row["epochs"] for row in errors} == {2}
    assert {row["metric"] for row in seen.by_step} >= {"gradient_cosine", "score_cosine", "loss_gap", "norm"}
    assert sum(row["metric"] == "score_error" for row in seen.by_row) == 4 * 4
    assert {row["row"] for row in seen.rounds} == {"DEQ-SM DKEF"}


def test_what_is_told_of_the_start_is_the_comparison_there():
    seen, batch = follow(follow_job(steps=1), rows(), lambda step, loss: None), None
    from deqbench.training.trainer import step_generator

    generator = step_generator(3, 0)
    chosen = torch.randint(len(rows()), (10,), generator=generator)
    batch = rows()[chosen]
    made = compared(started(FORM, rows(), 3), batch, "sm", FORM.steps, generator)
    told = {row["metric"]: row["value"] for row in seen.by_step}
    assert told["score_error"] == float(made.score_error.median())
    assert told["gradient_cosine"] == made.gradient_cosine and told["loss_gap"] == made.phantom_loss - made.exact_loss


def test_a_long_training_is_told_in_tens_of_epochs():
    assert [rounded(epochs) for epochs in (0.4, 40.4, 298.8, 300.2)] == [0, 40, 300, 300]


def test_without_rounds_none_are_counted():
    assert follow(follow_job(iterations=None, steps=2), rows(), lambda step, loss: None).rounds == []
