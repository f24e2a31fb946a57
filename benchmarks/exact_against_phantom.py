"""One training step of equilibrium models: exact implicit derivatives against the paper's phantom ones, K = 2.

A row a model, dimension and batch: median seconds of loss and gradients by exact implicit jets, by jets of the phantom
loss, and by the stock ways to take the phantom loss (nested loop, batched gradients, torch.func); how many times faster
the exact step is than the fastest of these, turn by turn, with a 95 % interval of the geometric mean; and how often
fewer bytes it saves than the one of these that saves the fewest. One thread; ways take turns. `make bench`.
"""

import argparse
import statistics

import numpy as np
import torch

from deqbench.experiments.deq_score_matching.engines import ways
from deqbench.experiments.deq_score_matching.engines.config import Problem
from deqbench.measure.clock import in_turns
from deqbench.measure.peaks import peak_bytes
from deqbench.metrics.intervals import log_interval

PROBLEMS = {
    f"kernel d={d} B={batch}": Problem(model="kernel", dimensions=d, batch=batch, points=64 if d < 50 else 200)
    for d, batch in ((11, 16), (11, 64), (11, 128), (100, 16), (100, 32), (100, 64))
} | {
    f"convolution {side}x{side} B={batch}": Problem(model="convolution", side=side, batch=batch)
    for side, batch in ((16, 16), (16, 64), (16, 128))
}


def measure(problem: Problem, repeats: int) -> str:
    """One line of the table."""
    net, x = ways.model(problem), ways.rows(problem, 0)
    runs = ways.steps(net, problem, x)
    saved = {name: peak_bytes(runs[name], list(net.parameters()))["saved"] for name in ways.known(problem)}
    spent = in_turns(runs, repeats)
    medians = {name: statistics.median(seconds) for name, seconds in spent.items()}
    ratios = np.array(spent[ways.fastest(spent)]) / np.array(spent["exact"])
    low, high = log_interval(ratios)
    fewest = min(saved[name] for name in ways.STOCK if name in saved)
    times = " ".join(f"{1000 * medians[name]:9.1f}" if name in medians else 9 * " " for name in COLUMNS)
    faster = f"{np.exp(np.log(ratios).mean()):5.2f} [{low:.2f}, {high:.2f}]"
    return f"{times}   {faster:20} {fewest / saved['exact']:6.1f}"


COLUMNS = ("exact", "phantom-jets", "phantom-loop", "phantom-batched", "phantom-func", "phantom-separate")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'ms of a step':24} "
        + " ".join(f"{name.removeprefix('phantom-')[:9]:>9}" for name in COLUMNS)
        + "   times faster         fewer bytes"
    )
    for name, problem in PROBLEMS.items():
        print(f"{name:24} {measure(problem, arguments.repeats)}")
