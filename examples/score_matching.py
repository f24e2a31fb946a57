"""A density in two dimensions with an equilibrium layer, learnt by exact score matching; its logarithm and samples.

Runs in ten seconds or so on a processor; the picture is written to score_matching.png.
"""

import matplotlib
import torch
from torch import nn
from torch.nn import functional as F

import deqbench
from deqbench.data.densities import density
from deqbench.score_matching.layers import DenseCell

matplotlib.use("Agg")
from matplotlib import pyplot as plt

data = density("moons", 0.15, train=4000, tuning=500, test=1000, seed=0)


class Density(nn.Module):
    """x (B, 2) -> log p~(x) (B,): a readout of the equilibrium, less a bowl that makes it fall off."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.inject, self.readout = nn.Linear(2, width), nn.Linear(width, width)
        self.deq = deqbench.DEQ(DenseCell(width), solver="picard", tol=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.deq(F.softplus(3 * self.inject(x)))
        return (-F.softplus(self.readout(z))).sum(-1) - 0.1 * x.square().sum(-1)


torch.manual_seed(0)
net = Density()
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
for step in range(500):
    rows = data.train[torch.randint(len(data.train), (200,))]
    loss = deqbench.score_matching_loss(net, rows, kind="sm")
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 100 == 99:
        print(f"update {step + 1}: loss {loss.item():7.2f} after {int(net.deq.last.rounds.max())} rounds of the solve")

exact = deqbench.score_matching_loss(net, data.test, derivative="exact").item()
phantom = deqbench.score_matching_loss(net, data.test, derivative="phantom", steps=2).item()
print(f"on test rows {exact:.2f}; by phantom derivatives of the same density it reads {phantom:.2f}")

axis = torch.linspace(-2.5, 3.5, 120)
grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)
with torch.no_grad():
    log_p = torch.cat([net(rows) for rows in grid.split(2048)]).view(120, 120)
    cells = torch.multinomial(log_p.flatten().softmax(0), 1000, replacement=True)
    samples = grid[cells] + (axis[1] - axis[0]) * (torch.rand(1000, 2) - 0.5)

figure, panels = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
panels[0].contourf(axis, axis, (log_p - log_p.max()).clamp(min=-12), 24)
panels[0].set_title("log density")
panels[1].scatter(*data.test.T, s=3, label="data")
panels[1].scatter(*samples.T, s=3, label="samples")
panels[1].legend()
figure.savefig("score_matching.png", dpi=120)
print("score_matching.png")
