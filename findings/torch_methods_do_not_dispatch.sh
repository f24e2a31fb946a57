#!/usr/bin/env bash
# torch 2.14.1 (Python 3.11): an object that is no tensor but defines __torch_function__ is passed on by torch.square(x), not by
# torch.Tensor.square(x).
#
# The functions torch.square, torch.sum, torch.flatten ... hand such an object to its own __torch_function__. The methods of the
# class of the same names are plain descriptors: called through the class they raise TypeError ("descriptor 'square' for
# 'torch._C.TensorBase' objects doesn't apply to a 'Own' object") before any dispatch. Where the object stands second,
# tensor.add(x), it is asked again, with the method as the function. So a wrapper whose own methods are looked up on
# torch.Tensor works in one place and fails in the other: look them up on torch.
#
# Run by hand; installs into a temporary folder. Exit code 0 while the behaviour is as described.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3.11}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
"$room/venv/bin/python" - <<'PYTHON'
import torch


class Own:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return f"asked for {func.__name__}"


print("torch.square(x):", torch.square(Own()))
print("tensor.add(x):", torch.zeros(2).add(Own()))
try:
    torch.Tensor.square(Own())
except TypeError as error:
    print("torch.Tensor.square(x): TypeError:", error)
else:
    raise SystemExit("torch.Tensor.square(x) was passed on")
assert torch.square(Own()) == "asked for square"
assert torch.zeros(2).add(Own()) == "asked for add"
PYTHON
