"""Kernel densities: trainings, choices and measures at the smallest sizes."""

import pandas as pd
import pytest
import torch

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.dkef import measure, normals
from deqbench.experiments.deq_score_matching.dkef.alphas import resolved, terms
from deqbench.experiments.deq_score_matching.dkef.config import Data, Model, Row, Setting
from deqbench.experiments.deq_score_matching.dkef.job import EvaluateJob, TrainJob
from deqbench.experiments.deq_score_matching.dkef.models import data_of, network, score_matching, trimmed
from deqbench.experiments.deq_score_matching.dkef.training import chosen, known
from deqbench.experiments.files import Files
from deqbench.records import read_json
from deqbench.score_matching.likelihood import Normal

ROWS = {
    "sm": Row(layers=3),
    "ssm": Row(loss="ssm", layers=3),
    "deq-sm-paper": Row(derivative="phantom"),
    "deq-sm": Row(),
}
TWICE = [Setting(lr=1e-2), Setting(lr=1e-3, bound=2.0)]
DATA = Data(
    splits=[0, 1],
    at_once=2,
    model=Model(points=8, width=6),
    optimisation={"steps": 6, "batch": 32, "lr": 1e-2, "validate_every": 3},
    tried={"explicit": TWICE, "phantom": TWICE, "exact": TWICE},
    likelihood={"draws": 2000, "chains": 20, "temperatures": 5},
)
OPTIONS = {"dimensions": 4, "train": 200, "tuning": 60, "test": 100}
ABOUT = {"paper": "deq-score-matching", "experiment": "table-3", "seed": 0, "device": "cpu", "max_batch": 256}
SLICE = {**ABOUT, "dataset": "gaussian-4", "source": "gaussian", "options": OPTIONS, "splits": [0, 1], "rows": ROWS}


def silent(done, total):
    """No progress."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    measure.train(TrainJob(**SLICE, data=DATA), Files({}, {"models": folder}), silent)
    return folder


@pytest.fixture(scope="module")
def records(folder):
    made = measure.evaluate(EvaluateJob(**SLICE, data=DATA), Files({"models": [folder]}, {}), silent)
    return pd.DataFrame(made["records"]), made["history"]


def value(records, **where):
    rows = records[0]
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    (found,) = rows["value"]
    return found


def test_the_setting_with_the_lowest_exact_loss_on_tuning_data_is_chosen(folder):
    job = EvaluateJob(**SLICE, data=DATA)
    data = data_of(job, 1)
    for method in ROWS:
        model = chosen(job, folder, method, 1, data.train)
        losses = [read_json(place["card"])["metrics"]["tuning_sm"] for place in known(job, folder, method, 1)]
        assert model.tried == len(losses) == 2
        assert float(trimmed(score_matching(model.net, data.tuning), 0.02)) == pytest.approx(min(losses), rel=1e-4)


def test_every_phantom_loss_stands_beside_the_exact_one_of_the_same_model(records):
    for method in ("deq-sm", "deq-sm-paper"):
        exact, phantom, gap = (
            value(records, method=method, split=0, metric=m) for m in ("sm_loss", "phantom_loss", "phantom_gap")
        )
        assert gap == pytest.approx(phantom - exact, abs=1e-6) and gap != 0
    assert set(records[1]["metric"]) == {"tuning_sm", "tuning_phantom"}
    assert records[1].query("metric == 'tuning_phantom'")["method"].str.startswith("deq").all()


def test_the_loss_of_a_gaussian_s_models_is_the_divergence_minus_half_the_dimension_up_to_its_error(records):
    for method in ROWS:
        gap, error = (value(records, method=method, split=0, metric=f"identity_{m}") for m in ("gap", "error"))
        assert abs(gap) < 4 * error
    assert value(records, method="truth", split=0, metric="fisher") == 0


def test_the_truth_s_likelihood_is_the_best_and_distances_are_from_it(records):
    truth = value(records, method="truth", split=1, metric="log_likelihood")
    mine = value(records, method="sm", split=1, metric="log_likelihood")
    assert value(records, method="sm", split=1, metric="truth_gap") == pytest.approx(abs(mine - truth))


def test_bytes_are_counted_once_and_a_block_s_graph_is_no_deep_one(records):
    graphs = records[0][records[0]["metric"] == "graph_bytes"]
    assert sorted(graphs["method"]) == sorted(ROWS) and (graphs["split"] == 0).all()
    assert value(records, method="sm", metric="graph_ratio") == 1


def test_a_normal_s_loss_is_that_of_nested_autograd():
    rows = datasets.build("gaussian", dimensions=3, condition=4.0, train=50).train
    normal = Normal.fitted(rows)
    x = rows.double().requires_grad_()
    (s,) = torch.autograd.grad(normal.log_prob(x).sum(), x, create_graph=True)
    trace = sum(torch.autograd.grad(s[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(3))
    expected = s.square().sum(1) / 2 + trace
    torch.testing.assert_close(normals.normal_losses(normal, rows), expected.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("row", [Row(layers=3), Row()])
def test_the_loss_is_quadratic_in_alpha_and_the_solved_one_is_its_minimum(row):
    rows = datasets.build("gaussian", dimensions=3, train=80, tuning=80).train
    model = Model(points=6, width=5, tol=1e-12, max_iter=300)
    net = network(row, Setting(), model, rows, 0).double()
    x = rows.double()
    g, b, c = terms(net, x)
    for seed in range(3):
        alpha = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            net.alpha.copy_(alpha)
        expected = float(score_matching(net, x).mean())
        assert float(alpha @ g @ alpha / 2 + alpha @ b + c) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    best = resolved(net, x, x)
    lowest = float(best @ g @ best / 2 + best @ b + c)
    for k in range(6):
        for step in (-0.05, 0.05):
            other = best.clone()
            other[k] += step * float(best.abs().max())
            assert float(other @ g @ other / 2 + other @ b + c) >= lowest - 1e-6


def test_as_many_settings_are_tried_for_every_family():
    with pytest.raises(ValueError, match="as many settings"):
        Data(
            splits=[0],
            optimisation=DATA.optimisation,
            tried={"explicit": [Setting()], "phantom": TWICE, "exact": TWICE},
        )


def test_far_rows_of_either_sign_are_left_out_of_a_choice_and_no_others():
    losses = torch.tensor([1.0, 2.0, 3.0, -9000.0, 2.0, 5000.0, 2.0, 1.0, 3.0, 2.0])
    assert float(trimmed(losses, 0.2)) == 2.0 and float(trimmed(losses, 0.0)) == pytest.approx(float(losses.mean()))
