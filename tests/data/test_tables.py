"""Tables: rows dealt without overlap, standardised by train alone; a bad file is one sentence."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import StandardScaler

from deqbench import provenance
from deqbench.data import datasets
from deqbench.errors import UserError

RAW = {"wine": load_wine, "breast-cancer": load_breast_cancer}


def raw(name: str) -> np.ndarray:
    return RAW[name]().data


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("split", [0, 1])
def test_each_split_is_what_scikit_learn_s_scaler_fitted_on_train_makes_of_its_rows(name, split):
    built, rows = datasets.build("table", name=name, split=split), raw(name)
    scaler = StandardScaler().fit(rows[built.about["rows"]["train"]])
    for part in datasets.SPLITS:
        expected = scaler.transform(rows[built.about["rows"][part]])
        np.testing.assert_allclose(getattr(built, part).numpy(), expected, rtol=1e-5, atol=1e-6)
        assert (getattr(built, f"{part}_labels").numpy() == RAW[name]().target[built.about["rows"][part]]).all()
    assert built.about["columns"] == list(RAW[name]().feature_names)


@pytest.mark.parametrize("name", RAW)
def test_splits_are_disjoint_together_all_rows_and_of_the_shares_asked_for(name):
    built = datasets.build("table", name=name, tuning=0.2, test=0.3)
    parts = [built.about["rows"][part] for part in datasets.SPLITS]
    assert sorted(itertools.chain(*parts)) == list(range(len(raw(name))))
    assert [round(len(part) / len(raw(name)), 1) for part in parts] == [0.5, 0.2, 0.3]


def test_a_split_is_the_same_each_time_and_another_number_another_split():
    one, again, other = (datasets.build("table", name="wine", split=split) for split in (3, 3, 4))
    assert torch.equal(one.train, again.train) and one.about == again.about
    assert one.about["rows"]["test"] != other.about["rows"]["test"]
    assert one.about["rows"]["test"][:4] == [40, 53, 34, 109]  # on every machine


@pytest.mark.parametrize(
    ("name", "count", "different"), [("winequality-red", 1599, 1359), ("winequality-white", 4898, 3961)]
)
def test_wine_quality_is_complete_and_its_repeated_rows_are_counted(name, count, different):
    kept = datasets.build("table", name=name, duplicates="kept")
    assert sum(len(getattr(kept, part)) for part in datasets.SPLITS) == count
    removed = datasets.build("table", name=name)
    assert sum(len(getattr(removed, part)) for part in datasets.SPLITS) == count - removed.about["duplicates"]
    assert removed.train.shape[1] == 11 and "CC BY 4.0" in removed.about["licence"]
    assert count - removed.about["duplicates"] == different
    assert set(kept.train_labels.unique().tolist()) <= set(range(3, 10))


def written(path, text: str) -> str:
    path.write_text(text)
    return str(path)


def table(count: int = 20) -> pd.DataFrame:
    draws = np.random.RandomState(0).rand(count, 3)
    return pd.DataFrame(draws, columns=["acid", "sugar", "quality"])


def test_a_user_s_file_gives_the_columns_asked_for_and_its_target_as_it_stands(tmp_path):
    path = written(tmp_path / "mine.csv", table().to_csv(index=False, sep=";"))
    told = {"path": path, "delimiter": ";", "sha256": provenance.sha256(tmp_path / "mine.csv")}
    built = datasets.build("csv", target="quality", licence="CC BY 4.0", **told)
    assert built.train.shape == (16, 2) and built.kind == "table" and built.about["columns"] == ["acid", "sugar"]
    expected = table().quality.to_numpy()[built.about["rows"]["train"]]
    np.testing.assert_allclose(built.train_labels.numpy(), expected, rtol=1e-6)
    assert built.about["licence"] == "CC BY 4.0" and built.about["sha256"] == told["sha256"]
    one = datasets.build("csv", columns=["sugar"], **told)
    assert torch.equal(one.train[:, 0], built.train[:, 1]) and one.train_labels is None


def test_duplicates_are_removed_before_the_rows_are_dealt_or_kept_and_counted(tmp_path):
    doubled = pd.concat([table(), table().head(5).assign(quality=9)])  # another target is no other row
    path = written(tmp_path / "mine.csv", doubled.to_csv(index=False))
    options = {"path": path, "target": "quality", "tuning": 0.2, "test": 0.2}
    removed, kept = (datasets.build("csv", duplicates=word, **options) for word in ("removed", "kept"))
    rows = torch.cat([removed.train, removed.tuning, removed.test])
    assert len(rows) == 20 == len({tuple(row) for row in rows.tolist()}) and removed.about["duplicates"] == 5
    assert len(kept.train) + len(kept.tuning) + len(kept.test) == 25 and kept.about["duplicates"] == 5


TEXT = table().to_csv(index=False)


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (None, {}, "expected a table with a line of column names; found no such file"),
        (TEXT, {"sha256": "0" * 64}, f"expected sha256 {'0' * 64}; found "),
        (TEXT, {"target": "qualty"}, "column: expected one of acid, quality, sugar; found 'qualty' (did you mean 'qua"),
        (TEXT, {"columns": ["acid", "salt"]}, "column: expected one of acid, quality, sugar; found 'salt'"),
        (TEXT, {"delimiter": ";"}, "row 1 below the names, column 'acid,sugar,quality': expected a finite number; f"),
        ("a,b\n1,2\n3,n/a\n", {}, "row 2 below the names, column 'b': expected a finite number; found 'n/a'"),
        ("a,b\n1,2\n3,\n", {}, "row 2 below the names, column 'b': expected a finite number; found ''"),
        ("a,b\n1,2\ninf,3\n", {}, "row 2 below the names, column 'a': expected a finite number; found 'inf'"),
        ("a,b\n1,2\n1,2,3\n", {}, "expected a table; found: Error tokenizing data"),
        ("", {}, "expected a table; found: No columns to parse from file"),
        ("a,b\n1,2\n3,4\n", {}, "expected at least 10 different rows; found 2"),
        ("a,b\n" + "1,2\n" * 30, {}, "expected at least 10 different rows; found 1"),
        ("a,b\n" + "".join(f"{k},7\n" for k in range(20)), {}, "column 'b': expected values that differ in train; f"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_name(tmp_path, text, options, sentence):
    path = tmp_path / "mine.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        datasets.build("csv", path=str(path), **options)
    assert str(caught.value).startswith(f"{path}: {sentence}") and "\n" not in str(caught.value)


def test_a_file_of_bytes_is_one_sentence(tmp_path):
    (tmp_path / "mine.csv").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(UserError, match="expected a table; found: "):
        datasets.build("csv", path=str(tmp_path / "mine.csv"))
