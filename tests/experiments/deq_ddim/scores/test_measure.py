"""Images drawn in shards, their scores from the files of all methods, and times."""

import pandas as pd
import pytest
import torch

from deqbench.data import datasets
from deqbench.experiments.deq_ddim.scores import job, measure
from deqbench.experiments.deq_ddim.scores.draws import shard_images
from deqbench.experiments.files import Files, write
from deqbench.experiments.inputs.job import features
from deqbench.experiments.inputs.measure import features as extracted
from tests.experiments.deq_ddim.smoke import WEIGHTS, edited, scope, silent


def with_shards(paper):
    paper["table-2"]["scores"]["digits"] |= {"T": [4, 5], "shards": 2}
    paper["table-2"]["eta"]["digits"] = [0.5, 1]


TABLE_2 = scope("table-2", with_shards)


def drawn(method: str, shard: int, **changes):
    wanted = edited(job.draw(TABLE_2, "digits", method, str(shard)), **changes)
    return measure.draw(wanted, WEIGHTS, silent)["images"]


@pytest.mark.parametrize(("total", "shards"), [(40, 1), (41, 3), (7, 5)])
def test_shards_share_all_images_once(total, shards):
    parts = [shard_images(total, shards, shard) for shard in range(shards)]
    assert [image for part in parts for image in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_an_image_is_the_same_in_every_shard_and_a_method_with_an_eta_of_its_own_is_walked_at_that_only():
    whole = drawn("ddpm-large", 0, shards=1, images=4)
    parts = [drawn("ddpm-large", shard, images=4) for shard in range(2)]
    assert {key.split("/T")[0] for key in whole} == {"ddpm-large/eta1"}
    for T in (4, 5):
        x0 = torch.cat([part[f"ddpm-large/eta1/T{T}/x0"] for part in parts])
        torch.testing.assert_close(x0, whole[f"ddpm-large/eta1/T{T}/x0"], rtol=1e-5, atol=1e-5)
    assert not any(key.endswith("diffusers") for key in parts[1])
    walked = whole["ddpm-large/eta1/T4/diffusers"]
    torch.testing.assert_close(walked, whole["ddpm-large/eta1/T4/x0"][: len(walked)], rtol=1e-3, atol=1e-3)


def test_scores_are_of_every_method_at_every_T_and_eta(tmp_path):
    outputs = {step.stage.name: step for step in TABLE_2.config.steps if step.scope.experiment == "table-2"}
    draw = outputs["draw"]
    paths = []
    for place in draw.places:
        paths.append(tmp_path / draw.outputs["images"].format(**place))
        write(paths[-1], measure.draw(job.draw(TABLE_2, **place), WEIGHTS, silent)["images"], {})
    told = outputs["score"].inputs({"dataset": "digits"})
    assert [tmp_path / path for path in told["drawn"]] == paths
    datasets.save(datasets.digits(), tmp_path / "digits.safetensors")
    data = {"dataset": [tmp_path / "digits.safetensors"]}
    whole = extracted(features(TABLE_2, "digits"), Files(data, {}), silent)["features"]
    write(tmp_path / "features.safetensors", whole, {})
    files = Files({**data, "drawn": paths, "features": [tmp_path / "features.safetensors"]}, {})
    rows = pd.DataFrame(measure.score(job.score(TABLE_2, "digits"), files, silent)["records"])
    groups = rows.groupby(["T", "eta"])["method"].unique().map(set)
    others = {"real", "ddim-with-noise", "ddim", "deq-sddim-paper"}
    assert groups.to_dict() == {
        (T, eta): others | ({"ddpm-large"} if eta == 1 else set()) for T in (4, 5) for eta in (0.5, 1)
    }


def test_the_clock_runs_methods_in_turn_and_compares_those_of_the_baseline_s_chain_with_it():
    wanted = edited(job.time(scope("table-1")), times={"digits": {"T": [5], "repeats": 2}})
    rows = measure.time(wanted, WEIGHTS, silent)["records"]
    assert rows[rows["metric"] == "time_s"]["method"].tolist() == ["ddim", "deq-ddim-paper"] * 2
    errors = rows[rows["metric"] == "timed_x0_error"].set_index("method")["value"]
    assert (errors["ddim"] == 0).all() and (errors["deq-ddim-paper"] < 0.1).all()


def test_nothing_is_timed_where_no_data_set_is():
    quiet = scope("table-2", lambda paper: paper["table-2"].update(times={}))
    steps = [step for step in quiet.config.steps if step.scope.experiment == "table-2"]
    assert [step.stage.name for step in steps] == ["draw", "score"]
