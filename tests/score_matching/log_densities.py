"""Small log densities in float64, (B, d) -> (B,), and the exact trace of their Hessians."""

import torch
from torch import nn
from torch.nn import functional as F

D = 4


class Network(nn.Module):
    """A multilayer perceptron's outputs, weighted."""

    def __init__(self, width=7):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(D, width), nn.Softplus(), nn.Linear(width, width), nn.Tanh())
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.layers(x)).squeeze(1)


class Kernels(nn.Module):
    """A weighted sum of Gaussian kernels of features, over a Gaussian."""

    def __init__(self, points=3, width=5):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(D, width), nn.Softplus(), nn.Linear(width, width))
        self.points, self.weights = nn.Parameter(torch.randn(points, D)), nn.Parameter(torch.randn(points))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        apart = self.features(x).unsqueeze(1) - self.features(self.points)  # (B, points, width)
        kernel = torch.exp(-0.5 * (apart**2).sum(-1) / self.log_scale.exp())
        return kernel @ self.weights - x.square().sum(1) / 8


class Couplings(nn.Module):
    """Two additive couplings under a logistic prior."""

    def __init__(self):
        super().__init__()
        self.shifts = nn.ModuleList(nn.Sequential(nn.Linear(2, 5), nn.Softplus(), nn.Linear(5, 2)) for _ in range(2))
        self.log_scales = nn.Parameter(0.1 * torch.randn(D))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        for shift in self.shifts:
            a, b = b + shift(a), a
        z = torch.cat([a, b], dim=1) * self.log_scales.exp()
        return (F.logsigmoid(z) + F.logsigmoid(-z)).sum(1) + self.log_scales.sum()


class Gated(nn.Module):
    """Products and quotients of tensors that depend on x, of different shapes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(D, 3), nn.Linear(D, 1)

    def forward(self, x):
        gate = torch.sigmoid(self.b(x))
        gate = gate + F.softplus(self.b(x), 2.0) / 3
        return (gate * self.a(x).tanh()).sum(1) + (x[:, 0] / (1 + x[:, 1] ** 2)) + x.mean(1) * (2 - x[:, 2])


class Images(nn.Module):
    """Two convolutions of an image of D pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x):
        return -F.silu(self.second(F.elu(self.first(x.view(-1, 1, 2, 2))))).flatten(1).sum(1)


MODELS = {kind.__name__: kind for kind in (Network, Kernels, Couplings, Gated, Images)}


def made(name):
    """The model with the same weights each time, and rows to look at."""
    generator = torch.Generator().manual_seed(3)
    model = MODELS[name]().double()
    for parameter in model.parameters():
        parameter.data = 0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model, torch.randn(5, D, generator=generator, dtype=torch.float64)


def hessians(log_density, x):
    """(B, d, d), by nested automatic differentiation, sample by sample."""
    return torch.stack([torch.autograd.functional.hessian(lambda v: log_density(v[None])[0], row) for row in x])


def differences(function, parameter, size=1e-5):
    """Central differences of a number by every entry of a parameter."""
    flat, found = parameter.data.view(-1), []
    for k in range(flat.numel()):
        before = flat[k].item()
        values = []
        for step in (size, -size):
            flat[k] = before + step
            values.append(float(function().detach()))
        flat[k] = before
        found.append((values[0] - values[1]) / (2 * size))
    return torch.tensor(found, dtype=parameter.dtype).view_as(parameter)
