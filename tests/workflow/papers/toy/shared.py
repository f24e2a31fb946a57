"""What its experiments share: nothing."""

from typing import Any

from deqbench.experiments.scope import Scope

SHARED: dict[str, Any] = {}
SUBJECTS: tuple[str, ...] = ()


def check(scope: Scope) -> None:
    """Nothing to look at."""
