"""Types of options with their bounds, for the signatures of methods; NaN and infinities are refused for each."""

from typing import Annotated

from annotated_types import Interval

MOST = 10**6  # rounds, steps, terms or images
LARGE = 1e18  # no tolerance, rate or weight makes sense beyond it

Count = Annotated[int, Interval(ge=1, le=MOST)]
Whole = Annotated[int, Interval(ge=0, le=MOST)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
NonNegative = Annotated[float, Interval(ge=0, le=LARGE)]
Positive = Annotated[float, Interval(gt=0, le=LARGE)]
Share = Annotated[float, Interval(gt=0, le=1)]
Decay = Annotated[float, Interval(ge=0, lt=1)]
