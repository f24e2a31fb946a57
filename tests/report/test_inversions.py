"""Cells of the exhibits of inversions, beside the values that the paper prints."""

import inversions
import numpy as np
import pandas as pd
import pytest
from inversions import DEMO, EXHIBITS

from deqbench import papers, scale
from deqbench.report import tables


def at(frame, method, metric, **keys):
    for key, value in {"method": method, "metric": metric, **keys}.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_every_exhibit_of_the_inversion_half_has_its_cells(inversion_cells):
    assert set(inversion_cells) == {
        "table-3",
        "figure-3",
        "figure-6",
        "figure-8",
        "figure-17",
        "inversion",
        "ablations",
    }


def test_table_3_stands_beside_the_row_of_the_same_data_set_and_length(inversion_cells):
    shown = {T: at(inversion_cells["table-3"], "deq-inversion-paper", "min_loss", T=T) for T in (10, 20)}
    assert [found["printed"] for found in shown.values()] == ["0.68 ± 0.32", "1.03 ± 0.37"]
    assert [found["printed_row"] for found in shown.values()] == ["CIFAR10 T=10", "CelebA T=20"]
    assert [found["stands_in_for"] for found in shown.values()] == ["CIFAR10", "CelebA"]
    assert at(inversion_cells["table-3"], "algorithm-1", "min_loss", T=20)["printed"] == "14.13 ± 5.04"
    assert at(inversion_cells["table-3"], "sweeps", "min_loss", T=20)["printed"] == ""
    assert (
        at(inversion_cells["table-3"], "deq-inversion-paper", "min_loss_ratio", T=10)["printed"] == f"{2.59 / 0.68:.2f}"
    )


def test_a_length_that_is_not_printed_and_other_data_have_no_printed_row(inversion_cells):
    exhibit = EXHIBITS["table-3"]
    for found in (inversions.records(30), inversions.records(10, dataset="mixture-64")):
        assert set(tables.cells(exhibit, found, DEMO)["printed"]) == {""}
    bedroom = tables.cells(exhibit, inversions.records(10, dataset="tissue"), DEMO)
    assert at(bedroom, "algorithm-1", "min_loss")["printed_row"] == "Bedroom T=10"


def test_data_that_are_the_paper_s_own_never_stand_beside_another_data_set():
    values = DEMO.model_dump(by_alias=True)
    values["datasets"]["digits"] |= {"printed_as": "CIFAR10", "stands_in_for": None}
    own = tables.cells(
        EXHIBITS["table-3"], pd.concat(map(inversions.records, (10, 20))), scale.validate(values, "test")
    )
    assert at(own, "algorithm-1", "min_loss", T=10)["relation"] == "same"
    assert at(own, "algorithm-1", "min_loss", T=20)["printed"] == ""


def test_printed_seconds_per_epoch_follow_from_minutes_and_epochs(inversion_cells):
    table, settings = papers.printed(EXHIBITS["table-3"]), papers.settings("deq-ddim")
    derived = papers.derived(EXHIBITS["table-3"]).set_index(["row", "method"])
    epochs = settings[settings["name"] == "epochs"].set_index(["experiment", "dataset"])["value"]
    minutes = table[table["metric"] == "average time"]
    assert len(derived) == len(minutes) == 10
    for _, printed in minutes.iterrows():
        kind = {"Baseline": "inversion baseline", "DEQ-DDIM": "inversion DEQ-DDIM"}[printed["method"]]
        dataset = printed["dataset"].replace("LSUN Church", "LSUN Outdoor Church")
        count = epochs.get((kind, f"{dataset}, T={printed['T']}")) or epochs[kind, dataset]
        row = derived.loc[(printed["row"], printed["method"])]
        assert (row["metric"], row["unit"], row["T"]) == ("seconds per epoch", "s", printed["T"])
        assert row["value"] == f"{60 * float(printed['value']) / int(count):.3g}"
        assert row["note"] == f"derived: {printed['value']} min / {count} epochs"
    cell = at(inversion_cells["table-3"], "algorithm-1", "epoch_s", T=10)
    assert (cell["printed"], cell["printed_row"]) == ("0.287", "CIFAR10 T=10, derived: 14.36 min / 3000 epochs")
    assert (
        at(inversion_cells["table-3"], "deq-inversion-paper", "epoch_ratio", T=10)["printed"] == f"{0.287 / 0.381:.2f}"
    )


def test_figure_17_prints_its_stochastic_rows_for_the_same_method(inversion_cells):
    found = [
        at(inversion_cells["figure-17"], "deq-inversion-paper", "min_loss", eta=eta)["printed"] for eta in (0, 0.5, 1)
    ]
    assert found == ["0.76 ± 0.35", "0.49 ± 0.001", "6.64 ± 3.45"]
    assert at(inversion_cells["figure-17"], "deq-inversion-paper", "epochs", eta=1)["printed"] == "1000"
    assert any("0.49" in note and "threshold" in note for note in EXHIBITS["figure-17"].notes)


def test_counts_by_update_and_in_all_are_columns_of_their_own(inversion_cells):
    table = inversion_cells["table-3"]
    assert at(table, "algorithm-1", "nfe_update", T=10)["value"] == at(table, "sweeps", "nfe", T=10)["value"] == 20
    assert np.isnan(at(table, "algorithm-1", "nfe", T=10)["value"])


def test_the_encoding_s_own_race_has_a_baseline_of_its_own():
    rows = inversions.race().query("method in ('algorithm-1', 'sweeps') and metric == 'time_to_s'")
    names = {"algorithm-1": "algorithm-1-encoded", "sweeps": "sweeps-encoded"}
    encoded = rows.assign(metric="time_to_encoded_s", method=rows["method"].map(names))
    found = tables.cells(EXHIBITS["inversion"], pd.concat([rows, encoded]), DEMO)
    assert at(found, "sweeps-encoded", "time_to_encoded_ratio")["value"] == pytest.approx(12 / 0.5)
    assert at(found, "sweeps", "time_to_encoded_ratio")["n"] == 0


def test_lengths_are_compared_only_where_there_are_several(inversion_cells):
    assert tables.cells(EXHIBITS["figure-6"], inversions.traces(), DEMO).empty
    assert at(inversion_cells["figure-6"], "deq-inversion-paper", "spread_ratio")["value"] > 1
