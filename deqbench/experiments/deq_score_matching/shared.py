"""What the paper's experiments share: nothing that a config says."""

from typing import Any

from deqbench.experiments.scope import Scope

SHARED: dict[str, Any] = {}
SUBJECTS: tuple[str, ...] = ()


def check(scope: Scope) -> None:
    """Nothing to look at."""
