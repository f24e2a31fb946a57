"""Rows of records: a mapping each, one measured value."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]


def of_images(
    metrics: Mapping[str, Iterable[Any]], units: Mapping[str, str] | None = None, **keys: Any
) -> Iterator[Row]:
    """A row a metric and image, with the keys, from each metric's values by image; units: of those that have one."""
    for metric, values in metrics.items():
        for image, value in enumerate(values):
            about = {**keys, "image": image, "metric": metric}
            yield {**about, "value": float(value), "unit": (units or {}).get(metric, "")}
