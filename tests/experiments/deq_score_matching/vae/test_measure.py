"""The VAE's costs keep their order, its score networks are chosen by the exact loss, and a run can be had again."""

import pandas as pd
import pytest
import torch

from deqbench.experiments.deq_score_matching.nets import rows_of
from deqbench.experiments.deq_score_matching.vae import frozen, job, measure, networks
from deqbench.experiments.deq_score_matching.vae.config import Frozen, Score
from deqbench.records import write_tensors
from deqbench.training.settings import Optimisation
from tests.experiments.deq_score_matching import images

SCOPE = images.scope("vae")


@pytest.fixture(scope="module")
def costs():
    """Costs by method and metric, and the layers' rows."""
    made = measure.cost(job.cost(SCOPE), images.files(), images.silent)
    rows = pd.DataFrame(made["records"])
    return rows.groupby(["metric", "method"])["value"].mean().unstack(), pd.DataFrame(made["layers"])


def test_bytes_and_parameters_rise_with_depth_and_an_equilibrium_saves_what_few_layers_do(costs):
    table = costs[0]
    for metric in ("saved_bytes", "peak_bytes", "score_bytes", "parameters"):
        order = [table.loc[metric, name] for name in ("ssm-vae", "deq-vae-paper", "aug-8", "aug-16")]
        assert order == sorted(order) and len(set(order)) == 4


def test_a_pushed_exact_loss_saves_no_more_than_the_pushed_phantom_one(costs):
    row = costs[0].loc["jets_score_bytes"]
    assert row["deq-vae-exact"] <= row["deq-vae-paper"]


def test_every_layer_is_as_printed_but_the_printed_parameters_do_not_follow(costs):
    layers = costs[1]
    assert (layers.loc[layers["metric"] == "as_printed", "value"] == 1).all()
    fitted = layers[layers["metric"] == "fitted_parameters"].set_index("method")["value"]
    assert fitted["ssm-vae"] == pytest.approx(7.1, rel=0.02)
    assert fitted["aug-8"] < 0.7 * 13


def codes_of_a_gaussian(score, x, generator):
    """z ~ N(0, 4), whatever the image."""
    return 2 * torch.randn(len(x), 2, generator=generator)


def test_the_exact_loss_of_a_known_score_is_that_of_its_closed_form():
    class Known(torch.nn.Module):
        def forward(self, x, z):
            return -z / 4

        def given(self, x):
            return lambda z: self(x, z)

    net, score = Known(), Score()
    net.scale = torch.nn.Parameter(torch.zeros(1))
    made = frozen.tested(
        net, score, lambda x, g: codes_of_a_gaussian(score, x, g), torch.zeros(2000, 1, 4, 4), 1, torch.Generator()
    )
    assert made["exact"] == pytest.approx(-2 / 8, abs=0.02)  # half |z|^2 / 16 less 2 / 4, |z|^2 being 8
    assert made["dead"] == 0 and made["output_rms"] == pytest.approx(0.5, rel=0.05)


def test_a_network_that_answers_nothing_is_dead_and_has_a_loss_of_0():
    net = networks.score_network(Score(), (1, 4, 4), 2, 2, 0)
    torch.nn.init.zeros_(net.head[-1].weight)
    torch.nn.init.zeros_(net.head[-1].bias)
    generator = torch.Generator()
    made = frozen.tested(net, Score(), lambda x, g: codes_of_a_gaussian(0, x, g), torch.zeros(8, 1, 4, 4), 1, generator)
    assert (made["exact"], made["dead"]) == (0, 1)


def test_the_rate_with_the_least_exact_loss_on_tuning_data_is_taken(tmp_path):
    data = measure.datasets.load(images.few(tmp_path))
    training = Optimisation(steps=30, batch=16, lr=1.0, validate_every=30)
    section = Frozen(networks=["one"], encoder=training, training=training, rates=[1e-6, 5e-3], seeds=[0], codes=1)

    def make():
        return networks.score_network(Score(), data.shape, 2, 2, 0)

    def encoder(x, generator):
        return codes_of_a_gaussian(None, x, generator)

    found, history = frozen.compared(make, Score(), encoder, data, section, "ssm-vr", 0, "cpu")
    by_rate = {row["lr"]: row["value"] for row in history if row["metric"] == "tuning_exact"}
    assert found["lr"] == min(by_rate, key=by_rate.get)
    assert found["tuning_loss"] == min(by_rate.values())


def test_trainings_end_with_records_and_images_and_come_out_the_same_again(tmp_path):
    data, weights = images.few(tmp_path), tmp_path / "encoder.safetensors"
    write_tensors(
        weights, measure.encode(job.encode(SCOPE, "digits"), images.files(dataset=data), images.silent)["weights"]
    )
    compare = job.compare(SCOPE, "digits", "0")
    two = compare.frozen.model_copy(update={"networks": ["ssm-vae", "deq-vae-paper"]})
    compare = compare.model_copy(update={"frozen": two})
    first, again = (
        measure.compare(compare, images.files(dataset=data, encoder=weights), images.silent) for _ in range(2)
    )
    assert images.same(first["records"], again["records"])
    assert {row["method"] for row in first["records"] if row["metric"] == "exact"} == set(two.networks)
    assert {row["method"] for row in first["records"] if row["metric"] == "phantom"} == {"deq-vae-paper"}
    made = measure.generate(job.generate(SCOPE, "digits", "0"), images.files(dataset=data), images.silent)
    rows = pd.DataFrame(made["records"])
    assert set(rows["share"]) == {10, 50, 100}
    assert rows[rows["metric"] == "distance"]["value"].gt(0).all()
    assert images.finite(made["images"][0])


def test_what_is_not_finite_is_told_as_nan():
    assert [row["value"] != row["value"] for row in rows_of({"a": float("inf"), "b": 1.0})] == [True, False]
