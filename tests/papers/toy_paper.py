"""The files of a made-up paper."""

METRICS = {
    "loss": {"label": "loss", "unit": "nats", "format": ".2f", "direction": "lower", "help": "Of the test set."},
    "gain": {
        "label": "gain",
        "difference_to": "loss",
        "baseline": "plain",
        "printed": "gain",
        "printed_help": "As said.",
    },
}
TABLE = {
    "id": "table-1",
    "title": "Losses of a few methods",
    "caption": "Losses.",
    "spec": {"group": ["dataset", "seed"], "baseline": "plain", "metrics": ["loss", {"id": "gain", "format": "+.1f"}]},
}
FIGURE = {
    "id": "figure-2a",
    "title": "Losses of few methods",
    "caption": "Curves.",
    "spec": {
        "experiment": "table-1",
        "metrics": ["gain"],
        "labels": {"deep": "deeper"},
        "drawing": {"kind": "curves", "x": "epoch", "y": ["loss"], "lines": "method"},
    },
}
PREDICATE = {"kind": "difference", "exhibit": "table-1", "method": "deep", "metric": "gain", "at_most": 0}
CLAIM = {"id": "toy-01", "statement": "Deep is better", "where": "Table 1", "evidence": "-1", "check": "gain < 0"}


def content() -> dict[str, object]:
    """The files of a sound paper."""
    about = {"id": "toy", "title": "A toy", "short": "Toy", "authors": ["Nobody"], "abstract": "Nothing."}
    labels = {"methods": {"plain": "plain layers", "deep": "deep layers"}, "quantities": {"epoch": "update"}}
    return {
        "paper.yaml": {**about, "order": 2},
        "labels.yaml": labels,
        "metrics.yaml": METRICS,
        "tables.yaml": [TABLE],
        "figures.yaml": [FIGURE],
        "claims.yaml": [{**CLAIM, "predicates": [PREDICATE], "needs": [{"device": "cuda"}]}],
        "methods.yaml": {
            "presets": {"paper": {"source": "text", "options": {"m": 5}}},
            "methods": {"plain": {"sampler": "sequential"}, "deep": {"sampler": "joint", "preset": "paper"}},
        },
    }
