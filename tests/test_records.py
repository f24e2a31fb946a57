"""Records are written whole or not at all, and read the same whatever the order of the jobs that wrote them."""

import os
import stat

import pandas as pd
import pytest
import torch

from deqbench import records
from deqbench.errors import UserError

ROW = {
    "paper": "deq-ddim",
    "experiment": "table-1",
    "dataset": "digits",
    "method": "ddim",
    "metric": "time_s",
    "value": 0.1 + 0.2,
    "unit": "s",
}


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.txt"
    records.write_text(path, "old")

    def broken(temporary):
        temporary.write_text("half of the n")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        records.atomically(path, broken)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["value.txt"]


def test_nothing_stands_under_the_final_name_while_it_is_written(tmp_path):
    path = tmp_path / "deep" / "value.txt"
    seen = []
    records.atomically(path, lambda temporary: (temporary.write_text("new"), seen.append(path.exists())))
    assert seen == [False] and path.read_text() == "new" and os.listdir(path.parent) == ["value.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_of_a_file_follows_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        records.write_text(tmp_path / "value.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "value.txt").stat().st_mode) == mode


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [1.0, float("nan")]}])
def test_json_has_no_place_for_numbers_that_are_not_finite(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write_json(tmp_path / "facts.json", {"value": value})
    assert os.listdir(tmp_path) == []


def test_json_comes_back_as_it_went(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ä"}
    records.write_json(tmp_path / "facts.json", value)
    assert records.read_json(tmp_path / "facts.json") == value


@pytest.mark.parametrize("column", records.REQUIRED)
def test_a_record_without_a_required_column_is_refused_by_name(tmp_path, column):
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(ValueError, match=f"records lack the columns {column}$"):
        records.write_records(tmp_path / "rows.csv", [row])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_records_come_back_with_every_digit_of_their_values(tmp_path, name):
    records.write_records(tmp_path / name, [ROW, ROW | {"method": "deq-ddim", "value": 1e-17 / 3}])
    back = records.read_records([tmp_path / name])
    assert back["value"].tolist() == [0.1 + 0.2, 1e-17 / 3] and back["method"].tolist() == ["ddim", "deq-ddim"]


def test_the_order_of_files_does_not_matter(tmp_path):
    paths = [tmp_path / f"{k}.csv" for k in range(3)]
    for k, path in enumerate(paths):
        records.write_records(path, [ROW | {"value": k, "seed": k}])
    read = [records.read_records(order) for order in (paths, paths[::-1], [str(path) for path in paths])]
    pd.testing.assert_frame_equal(read[0], read[1])
    pd.testing.assert_frame_equal(read[0], read[2])
    assert read[0]["value"].tolist() == [0, 1, 2]


def test_no_files_are_no_records_of_the_usual_columns():
    assert list(records.read_records([])) == list(records.REQUIRED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.csv", None),
        ("none.parquet", None),
        ("empty.csv", b""),
        ("torn.csv", b'a,b\n"1,2\n3,4,5\n'),
        ("binary.csv", b"\xff\xfe\x00\x01"),
        ("torn.parquet", b"PAR1 and then nothing"),
        ("ragged.csv", b"a,b\n1,2,3,4\n1\n1,2,3,4,5"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_in_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        records.read_records([path])
    assert str(caught.value).startswith(f"{path}: expected a readable table; found: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_json_that_cannot_be_read_is_named_in_one_sentence(tmp_path, content):
    path = tmp_path / "facts.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        records.read_json(path)
    assert str(caught.value).startswith(f"{path}: expected a JSON file; found: ")
    assert "\n" not in str(caught.value)


def test_tensors_are_written_with_their_values_whatever_their_strides(tmp_path):
    from safetensors.torch import load_file

    turned = torch.arange(6.0).view(2, 3).T
    records.write_tensors(tmp_path / "x.safetensors", {"turned": turned})
    assert torch.equal(load_file(tmp_path / "x.safetensors")["turned"], turned)
