"""Records, the only currency of results: one row is one measured value. Every write is atomic.

Data frames are imported where one is made: most jobs write tensors only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("paper", "experiment", "dataset", "method", "metric", "value", "unit")


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary name beside `path`, then renames: a killed job leaves the old file or none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; NaN is refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, allow_nan=False, default=str) + "\n")


def write_tensors(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Writes a dictionary of tensors as safetensors, atomically."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    atomically(path, lambda temporary: save_file(contiguous, temporary, metadata=metadata))


def write_records(path: Path, rows: Iterable[dict[str, Any]] | pd.DataFrame) -> None:
    """Writes records as tidy CSV, or as Parquet if the name ends so. ValueError: a required column is missing."""
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    missing = [column for column in REQUIRED if column not in frame]
    if missing:
        raise ValueError(f"{path}: records lack the columns {', '.join(missing)}")
    write_frame(path, frame)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Writes a data frame atomically: Parquet if the name ends so, otherwise CSV with full precision."""
    if Path(path).suffix == ".parquet":
        atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))
    else:
        atomically(path, lambda temporary: frame.to_csv(temporary, index=False))


def read_frame(path: Path) -> pd.DataFrame:
    """The data frame at `path` (CSV or Parquet). UserError: it is missing or of another form."""
    import pandas as pd

    try:
        return pd.read_parquet(path) if Path(path).suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:  # parser errors of both formats are ValueErrors
        raise UserError(f"{path}: expected a readable table; found: {' '.join(str(error).split())}") from error


def read_records(paths: Iterable[Path]) -> pd.DataFrame:
    """All records of the files in the order of their names, so that nothing depends on the order of jobs."""
    import pandas as pd

    frames = [read_frame(path) for path in sorted(map(Path, paths))]
    if not frames:
        return pd.DataFrame(columns=list(REQUIRED))
    return pd.concat(frames, ignore_index=True)


def read_json(path: Path) -> Any:
    """The value in a JSON file. UserError: it is missing or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected a JSON file; found: {' '.join(str(error).split())}") from error
