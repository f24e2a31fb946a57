"""Trains a small equilibrium layer, then compares its gradients and takes a second derivative through it."""

import torch
from torch import Tensor, nn

from deqbench import DEQ, fixed_point


class Cell(nn.Module):
    """One step of the state z, given the input x."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.of_state, self.of_input = nn.Linear(width, width, bias=False), nn.Linear(inputs, width)
        nn.init.normal_(self.of_state.weight, std=0.5 / width**0.5)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(self.of_state(z) + self.of_input(x))


torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
x = torch.rand(128, 2) * 6 - 3
y = torch.sin(x[:, :1]) * torch.cos(x[:, 1:])

deq = DEQ(Cell(2, 24), dims=(24,))
head = nn.Linear(24, 1)
parameters = [*deq.parameters(), *head.parameters()]
adam = torch.optim.Adam(parameters, lr=0.03)
for epoch in range(61):
    loss = (head(deq(x)) - y).square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    if epoch % 30 == 0:
        print(f"epoch {epoch:2}: loss {loss.item():.4f}, {int(deq.last.rounds.max())} rounds")

gradients = {}
for name, settings in {"exact": {}, "one-step phantom": {"derivative": "phantom"}}.items():
    z = fixed_point(deq.cell, torch.zeros(len(x), 24), x, tol=1e-8, **settings).z
    gradients[name] = torch.autograd.grad((head(z) - y).square().mean(), deq.cell.of_state.weight)[0]
apart = (gradients["exact"] - gradients["one-step phantom"]).norm() / gradients["exact"].norm()
print(f"the phantom gradient is {100 * apart.item():.0f} % off the exact one")


def slope_penalty(points: Tensor) -> Tensor:
    """The squared derivative of the network in its inputs, which is to be differentiated once more."""
    points = points.detach().requires_grad_()
    z = fixed_point(deq.cell, torch.zeros(len(points), 24), points, tol=1e-12, adjoint="dense").z
    (slopes,) = torch.autograd.grad(head(z).sum(), points, create_graph=True)
    return slopes.square().sum()


weight, step, values = deq.cell.of_input.weight, 1e-5, []
(exact,) = torch.autograd.grad(slope_penalty(x[:8]), weight)
for sign in (1, -1):
    weight.data[0, 0] += sign * step
    values.append(slope_penalty(x[:8]).item())
    weight.data[0, 0] -= sign * step
print(f"second derivative {exact[0, 0].item():.8f}, by differences {(values[0] - values[1]) / (2 * step):.8f}")
