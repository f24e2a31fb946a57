#!/usr/bin/env bash
# torch 2.14.1 (Python 3.11, x86-64 processor, float32): log1p, expm1, softplus, logsigmoid and logaddexp take some eight to
# twelve times as long as exp and log, which are vectorised where these are not.
#
# Seen on 5,760 values in one thread: exp 4.8 us, log 7 us, tanh 13 us; log1p 58 us, expm1 61 us, softplus 62 us, logsigmoid
# 63 us, logaddexp 64 us. A softplus cost four times the product with a 30 x 30 matrix before it. In a network of softplus
# layers so small the activation is most of the time. max(a, 0) + log(1 + exp(-|a|)) takes a third of softplus, and is off
# by a rounding of 1 in absolute terms.
#
# Run by hand; installs into a temporary folder. Exit code 0 while log1p takes at least three times as long as log, and softplus
# at least three times as long as exp.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3.11}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
"$room/venv/bin/python" - <<'PYTHON'
import time
from statistics import median

import torch

torch.set_num_threads(1)
x = torch.randn(3, 64, 30, generator=torch.Generator().manual_seed(0))
positive = x.abs() + 0.1
ways = {
    "exp": lambda: x.exp(),
    "log": lambda: positive.log(),
    "log1p": lambda: positive.log1p(),
    "softplus": lambda: torch.nn.functional.softplus(x),
}


def seconds(way):
    taken = []
    for _ in range(300):
        started = time.perf_counter()
        way()
        taken.append(time.perf_counter() - started)
    return median(taken)


spent = {name: seconds(way) for name, way in ways.items()}
print(", ".join(f"{name} {1e6 * value:.1f} us" for name, value in spent.items()))
assert spent["log1p"] > 3 * spent["log"] and spent["softplus"] > 3 * spent["exp"]
PYTHON
