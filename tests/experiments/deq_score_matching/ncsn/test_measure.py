"""Score networks' costs, layers beside the printed ones, trainings chosen by the exact loss, and shared steps."""

import pandas as pd
import pytest
import torch

from deqbench.data import score_networks
from deqbench.errors import UserError
from deqbench.experiments.deq_score_matching.ncsn import job, measure, networks
from deqbench.experiments.deq_score_matching.ncsn.config import Network
from deqbench.score_matching import ncsn
from tests.experiments.deq_score_matching import images

SCOPE = images.scope("ncsn")


@pytest.fixture(scope="module")
def costs():
    """Costs by metric and method, and the layers' rows."""
    told = job.cost(SCOPE)
    two = {name: told.networks[name] for name in ("ncsn", "deq-ncsn-paper")}
    made = measure.cost(told.model_copy(update={"networks": two}), images.files(), images.silent)
    return pd.DataFrame(made["records"]), pd.DataFrame(made["layers"])


def test_a_short_network_saves_fewer_bytes_and_more_images_fit(costs):
    table = costs[0].groupby(["metric", "method"])["value"].mean().unstack()
    for metric in ("graph_bytes", "saved_bytes", "peak_bytes", "bytes_per_image"):
        assert table.loc[metric, "deq-ncsn-paper"] < table.loc[metric, "ncsn"]
    assert table.loc["fits", "deq-ncsn-paper"] > table.loc["fits", "ncsn"]
    assert table.loc["graph_ratio", "ncsn"] == 1 < table.loc["graph_ratio", "deq-ncsn-paper"]
    expected = table.loc["bytes_per_image"] * 128 / SCOPE.section.costs.sizes[0].width
    pd.testing.assert_series_equal(table.loc["projected_bytes"], expected, check_names=False)


def test_layers_are_as_printed_and_the_printed_input_does_not_run(costs):
    layers = costs[1]
    assert (layers.loc[layers["metric"] == "as_printed", "value"] == 1).all()
    runs = layers[layers["metric"] == "runs"].set_index("method")
    assert runs["value"].to_dict() == {"map": 1, "g-printed": 0, "g-table-8": 1}
    assert "128" in runs.loc["g-printed", "note"]


def test_the_full_network_has_the_printed_parameters_and_the_short_one_twice_as_many(costs):
    table = costs[1][costs[1]["metric"] == "printed_width_parameters"].set_index("method")["value"]
    assert table["ncsn"] == pytest.approx(28, rel=0.05)
    assert table["deq-ncsn"] == pytest.approx(17, rel=0.05)


def test_trainings_end_with_records_and_images_and_come_out_the_same_again(tmp_path):
    told, data = job.train(SCOPE, "digits", "0"), images.few(tmp_path)
    told = told.model_copy(update={"networks": {name: told.networks[name] for name in ("two-res", "deq-ncsn-paper")}})
    first, again = (measure.train(told, images.files(dataset=data), images.silent) for _ in range(2))
    assert images.same(first["records"], again["records"])
    rows = pd.DataFrame(first["records"])
    assert set(rows.loc[rows["metric"] == "chosen_test_loss", "method"]) == set(told.networks)
    assert set(rows.loc[rows["metric"] == "phantom_loss", "method"]) == {"deq-ncsn-paper"}
    assert images.finite(first["images"][0])


def test_a_shipped_network_stands_for_the_one_that_is_trained(tmp_path, monkeypatch):
    network = {"variant": "two-res", "channels": 1, "width": 2, "levels": 3}
    torch.manual_seed(0)
    sigmas = {"largest": 1.0, "smallest": 0.1, "levels": 3}
    score_networks.save(ncsn.network(**network), {"network": network, "sigmas": sigmas}, tmp_path)
    monkeypatch.setattr(measure.zoo, "path", lambda name: tmp_path)
    told = job.train(SCOPE, "digits", "0").model_copy(update={"shipped": {"two-res": "any"}})
    told = told.model_copy(update={"networks": {"two-res": told.networks["two-res"]}})
    data = images.files(dataset=images.few(tmp_path))
    with_it = pd.DataFrame(measure.train(told, data, images.silent)["records"])
    without = pd.DataFrame(measure.train(told.model_copy(update={"shipped": {}}), data, images.silent)["records"])

    def of(rows, metric):
        return rows.loc[rows["metric"] == metric, "value"].iloc[-1]

    assert of(with_it, "test_loss") == of(without, "test_loss")
    assert of(with_it, "chosen_test_loss") != of(without, "chosen_test_loss")


def test_a_folder_without_all_weights_is_refused(tmp_path):
    network = {"variant": "ncsn", "channels": 1, "width": 2, "levels": 3}
    sigmas = {"largest": 1.0, "smallest": 0.1, "levels": 3}
    short = ncsn.network(**{**network, "variant": "two-res"})
    score_networks.save(short, {"network": network, "sigmas": sigmas}, tmp_path)
    with pytest.raises(UserError, match="expected the weights of a score network"):
        score_networks.load(tmp_path)


def test_a_level_s_loss_is_weighted_by_its_variance():
    net = networks.made(Network(variant="two-res"), 1, 2, 2, 0)
    x, sigmas = torch.rand(2, 1, 8, 8), torch.tensor([2.0, 0.5])
    level = torch.tensor([0, 1])

    def losses(scale):
        draw = torch.Generator().manual_seed(0)
        options = {"kind": "ssm-vr", "engine": "loop", "generator": draw}
        return ncsn.noise_conditional_loss(net, x, level, sigmas * scale, **options).detach()

    torch.testing.assert_close(losses(3), 9 * losses(1))


def test_workers_are_timed():
    told = job.share(SCOPE)
    rows = pd.DataFrame(measure.share(told, images.files(), images.silent)["records"])
    assert rows.groupby(["workers", "method"])["value"].count().eq(SCOPE.section.workers.repeats).all()
    assert (rows["value"] > 0).all()
