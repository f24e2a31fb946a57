"""Solvers of z = f(z) for a batch of independent samples; nothing here knows of diffusion.

A method is one file in this folder: `solve(f, z0, solver="halfway", share=0.4)` then works, and
`tests/solvers/test_contract.py` tests it. Its settings are fields with their bounds; others are refused:

    @dataclass(frozen=True, kw_only=True)
    class Halfway:
        share: Share = 0.5
        def start(self, z0): return self       # what a run remembers; this method needs no past
        def select(self, keep): pass           # samples left the batch: forget all but those at positions keep
        def step(self, state, fz, residual): return state + self.share * residual   # (B, *dims), the next state

    SOLVER = Halfway

A method with a past returns a fresh history from `start`: see `Solver` and `History` in solve.py, and anderson.py.
"""

from deqbench.solvers.rounds import Stop
from deqbench.solvers.solve import FAMILY, FixedPoint, History, Solver, iterate, solve, solvers

__all__ = ["FAMILY", "FixedPoint", "History", "Solver", "Stop", "iterate", "solve", "solvers"]
