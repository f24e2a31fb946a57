"""Flows on digits: their data, their choice of a rate, and what is recorded of them."""

import pytest
import torch
from pydantic import ValidationError

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.nice import flows, measure
from deqbench.experiments.deq_score_matching.nice.config import TABLE_4, Flow, Logits, Method, Nice
from deqbench.experiments.deq_score_matching.nice.job import ENDINGS, EvaluateJob, TrainJob, output_name
from deqbench.experiments.files import Files
from deqbench.records import read_json
from deqbench.score_matching.nice import NICE, explicit
from deqbench.training.settings import Optimisation
from tests.score_matching.log_densities import hessians

TOLD = {
    "paper": "deq-score-matching",
    "experiment": "nice",
    "seed": 3,
    "device": "cpu",
    "max_batch": 8,
    "dataset": "digits",
    "images": Logits(levels=17),
    "flow": Flow(blocks=2, layers=3, width=6),
    "optimisation": Optimisation(steps=6, batch=12, lr=1.0, validate_every=3),
    "rates": [1e-3, 1e-2],
    "watched": 10,
}

ALL = {**TABLE_4, "deq-mle": Method(kind="mle", couplings="implicit")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    datasets.save(datasets.digits(), path)
    return path


def trained(folder, data, methods, split=0):
    job = TrainJob(**TOLD, methods=methods, split=split)
    places = [(method, rate) for method in methods for rate in range(2)]
    paths = {
        output_name(file, method, rate): folder / str(split) / method / f"{rate}.{ending}"
        for method, rate in places
        for file, ending in ENDINGS.items()
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    steps = []
    measure.train(job, Files({"data": [data]}, paths), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (12 * len(methods), 12 * len(methods))
    return paths


def evaluated(paths, data, methods, splits):
    chosen = {kind: [path for name, path in paths if name.startswith(kind)] for kind in ("weights", "card")}
    inputs = {"data": [data], "weights": chosen["weights"], "cards": chosen["card"]}
    job = EvaluateJob(**TOLD, methods=methods, splits=splits, timed=1)
    return measure.evaluate(job, Files(inputs, {}), lambda *_: None)["records"]


def test_the_images_are_dealt_anew_for_each_split_and_none_twice(data):
    first, again, other = (flows.deal(data, Logits(levels=17), split) for split in (0, 0, 1))
    assert {name: len(part) for name, part in first.items()} == {"test": 180, "tuning": 359, "train": 1258}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["test"], other["test"])
    rows = torch.cat([*first.values()])
    assert not torch.isin(rows[:, 27], torch.cat([*other.values()])[:, 27]).any()  # noise of its own
    levels = ((rows.double().sigmoid() - 0.01) / 0.98 * 17).floor()
    whole = torch.cat([getattr(datasets.digits(), split) for split in datasets.SPLITS]).flatten(1)
    expected = ((whole.double() + 1) * 8).round()
    assert torch.equal(levels.sum(1).sort()[0], expected.sum(1).sort()[0])
    assert len(flows.deal(data, Logits(levels=17, pool=["tuning"]), 0)["train"]) == 180 - 18 - 36


def test_the_exact_loss_is_that_of_hessians_by_nested_differentiation():
    for method in (Method(kind="ssm"), TABLE_4["deq-ssm"]):
        flow = Flow(blocks=2, layers=3, width=4, tol=1e-13)
        net = flows.build(6, flow, method, 0).double()
        y = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        found = flows.exact_losses(net, y, method, 4)
        for layer in net.modules():
            if hasattr(layer, "settings"):
                layer.settings = {**layer.settings, "derivative": "exact", "order": 3}
        trace = hessians(net, y).diagonal(dim1=1, dim2=2).sum(1)
        score = torch.autograd.functional.jacobian(lambda y, net=net: net(y).sum(), y)
        torch.testing.assert_close(found, score.square().sum(1) / 2 + trace, rtol=1e-8, atol=1e-8)


def test_the_loss_in_pieces_is_the_loss(monkeypatch):
    net, y = flows.build(6, Flow(blocks=2, layers=2, width=4), Method(kind="sm"), 0), torch.randn(7, 6)
    whole = flows.exact_losses(net, y, Method(kind="sm"), 4)
    monkeypatch.setattr(flows, "ROWS_AT_ONCE", 60)
    torch.testing.assert_close(flows.exact_losses(net, y, Method(kind="sm"), 4), whole)


def test_every_method_of_the_table_is_trained_and_measured(tmp_path, data):
    paths = [pair for split in (0, 1) for pair in trained(tmp_path, data, ALL, split).items()]
    records = evaluated(paths, data, ALL, [0, 1])
    values = {(row["method"], row["split"], row["metric"]): row["value"] for row in records}
    everywhere = {"sm_loss", "log_likelihood", "bits", "parameters", "rate", "best_step", "step_s", "saved_bytes"}
    for method, told in ALL.items():
        for split in (0, 1):
            found = {metric for name, at, metric in values if (name, at) == (method, split)}
            solved = {"sm_loss_phantom", "phantom_gap", "rounds", "unconverged"}
            assert found == everywhere | {"nested_bytes"} | (solved if told.couplings == "implicit" else set())
    assert all(torch.isfinite(torch.tensor(value)) for value in values.values())
    assert values["deq-ssm", 0, "parameters"] == values["deq-mle", 1, "parameters"]
    assert values["deq-ssm", 0, "parameters"] < values["ssm", 0, "parameters"]
    assert values["ssm", 0, "nested_bytes"] > values["mle", 0, "nested_bytes"] == values["mle", 0, "saved_bytes"] > 0
    assert values["ssm", 0, "sm_loss"] != values["ssm", 1, "sm_loss"]


def test_the_weights_measured_are_those_of_the_best_rate_on_the_tuning_part(tmp_path, data):
    methods = {"mle": TABLE_4["mle"], "dsm-low": TABLE_4["dsm-low"]}
    paths = trained(tmp_path, data, methods)
    parts = flows.deal(data, Logits(levels=17), 0)
    records = evaluated(paths.items(), data, methods, [0])
    values = {(row["method"], row["metric"]): row["value"] for row in records}
    for name, metric in (("mle", "tuning_minus_log_likelihood"), ("dsm-low", "tuning_sm_loss")):
        cards = [read_json(paths[output_name("card", name, rate)]) for rate in range(2)]
        best = min((0, 1), key=lambda rate: cards[rate]["metrics"][metric])
        assert values[name, "rate"] == [1e-3, 1e-2][best] and cards[0]["metrics"] != cards[1]["metrics"]
    from safetensors.torch import load_file

    best = [1e-3, 1e-2].index(values["mle", "rate"])
    net = NICE(64, [explicit(6, 3)] * 2)
    net.load_state_dict(load_file(paths[output_name("weights", "mle", best)]))
    assert values["mle", "log_likelihood"] == pytest.approx(net(parts["test"]).mean().item(), rel=1e-5)
    watched = -net(parts["tuning"][:10]).mean().item()
    card = read_json(paths[output_name("card", "mle", best)])
    assert card["metrics"]["tuning_minus_log_likelihood"] == pytest.approx(watched, rel=1e-5)


def test_the_same_split_gives_the_same_numbers(tmp_path, data):
    methods = {name: TABLE_4[name] for name in ("cp", "deq-ssm")}
    first, again = (trained(tmp_path / name, data, methods) for name in ("a", "b"))
    for name in methods:
        cards = [read_json(paths[output_name("card", name, 1)]) for paths in (first, again)]
        assert cards[0]["sha256"] == cards[1]["sha256"]


def test_a_rate_that_diverged_is_passed_over():
    cards = {0: {"metrics": {"tuning_sm_loss": None}}, 1: {"metrics": {"tuning_sm_loss": 3.0}}}
    assert measure.best_rate(cards, Method(kind="ssm")) == 1
    with pytest.raises(ValueError, match=r"^cards: expected a finite tuning_sm_loss of one rate; found none$"):
        measure.best_rate({0: cards[0]}, Method(kind="ssm"))


@pytest.mark.parametrize(
    ("method", "words"),
    [({"kind": "dsm"}, "expected a number beside dsm"), ({"kind": "cp", "sigma": 0.1}, "expected none beside cp")],
)
def test_sigma_belongs_to_denoising(method, words):
    with pytest.raises(ValidationError, match=words):
        Method(**method)


def test_a_training_must_be_watched():
    with pytest.raises(
        ValidationError, match=r"optimisation\.validate_every: expected a number of updates; found none"
    ):
        Nice(dataset="digits", splits=[0], optimisation=Optimisation(steps=1, batch=1, lr=1), rates=[1])
