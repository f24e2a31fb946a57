"""Solvers of z = f(z) for a batch of independent samples; nothing here knows of diffusion.

A method is one file in this folder and is found by itself: `solve(f, z0, solver="halfway", share=0.4)` then works, and
`tests/solvers/test_contract.py` tests it. Its settings are fields, so unknown ones are refused:

    @register("halfway")
    @dataclass(frozen=True, kw_only=True)
    class Halfway:
        share: float = 0.5
        def start(self, z0): return self       # what a run remembers; this method needs no past
        def select(self, keep): pass           # samples left the batch: forget all but those at positions keep
        def step(self, state, fz, residual): return state + self.share * residual   # (B, *dims), the next state

A method with a past returns a fresh history from `start`: see `Solver` and `History` in solve.py, and anderson.py.
"""

import importlib
import pkgutil

from deqbench.solvers.rounds import Stop
from deqbench.solvers.solve import FixedPoint, History, Solver, iterate, register, solve, solvers

__all__ = ["FixedPoint", "History", "Solver", "Stop", "iterate", "register", "solve", "solvers"]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
