"""A model of another kind comes back from its files as it was trained, and its rounds are counted."""

import pytest
import torch
from safetensors.torch import save_file

from deqbench.data import datasets
from deqbench.experiments.deq_score_matching.nice import flows
from deqbench.experiments.deq_score_matching.nice.config import Flow, Logits, Method
from deqbench.experiments.deq_score_matching.phantom.builders import BUILDERS, nice
from deqbench.experiments.deq_score_matching.phantom.config import NETWORKS, Counted
from deqbench.experiments.deq_score_matching.phantom.iterations import of_model
from deqbench.experiments.deq_score_matching.phantom.job import CountJob
from deqbench.records import write_json
from tests.experiments.deq_score_matching.phantom.small import ITERATIONS

FLOW, METHOD = Flow(blocks=2, width=6), Method(kind="ssm", couplings="implicit", derivative="phantom")
OPTIMISATION = {"steps": 1, "batch": 4, "lr": 1e-3, "validate_every": 1}
SECTION = {
    "dataset": "digits",
    "splits": [1],
    "images": Logits(levels=17).model_dump(),
    "flow": FLOW.model_dump(),
    "optimisation": OPTIMISATION,
    "rates": [1e-3],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    datasets.save(datasets.build("digits"), folder / "digits.safetensors")
    net = flows.build(64, FLOW, METHOD, seed=5)
    save_file(net.state_dict(), folder / "0.safetensors")
    write_json(folder / "0.json", {"loss": METHOD.model_dump(), "flow": FLOW.model_dump(), "split": 1})
    return folder / "0.safetensors", folder / "digits.safetensors", net


def test_every_network_that_a_config_may_name_has_its_builder():
    assert tuple(BUILDERS) == NETWORKS


def test_a_flow_comes_back_with_its_weights_and_the_rows_of_its_split(files):
    weights, data, net = files
    built = nice(weights, data, SECTION)
    rows = flows.deal(data, Logits(levels=17), 1)["train"]
    assert torch.equal(built.train, rows)
    with torch.no_grad():
        torch.testing.assert_close(built.call(rows[:5]), net.eval()(rows[:5]))


def test_the_rounds_of_a_model_are_told_batch_by_batch_without_a_cache(files):
    weights, data, _ = files
    model = Counted(
        experiment="nice",
        network="nice",
        weights="1/deq-ssm/0.safetensors",
        dataset="digits",
        printed="DEQ-SSM NICE",
        batch=20,
        batches=3,
    )
    told = {"paper": "deq-score-matching", "experiment": "table-10", "seed": 0, "device": "cpu", "max_batch": 8}
    job = CountJob(**told, dataset="digits", name="nice", model=model, section=SECTION, iterations=ITERATIONS)
    found = list(of_model(job, weights, data))
    assert {row["step"] for row in found} == {0, 1, 2} and {row["row"] for row in found} == {"DEQ-SSM NICE"}
    assert {row["method"].split("-")[0] for row in found} == {"cold", "previous", "mean"}
    first = {row["value"] for row in found if row["step"] == 0 and row["metric"] == "iterations_row"}
    assert len(first) == 2  # by tolerance only: nothing is known yet
