"""The VAE's layers and parameters beside those of tables 1, 6 and 7."""

from typing import Any

import torch
from torch import nn

from deqbench.experiments.deq_score_matching.printed_layers import beside, described
from deqbench.experiments.rows import Row
from deqbench.score_matching.layers import ConvCell
from deqbench.score_matching.vae import HIDDEN, Equilibrium, ImplicitVAE, ScoreNetwork, Shape, augmented

M, LATENT = 8, 24  # any that are told apart from other numbers of channels and features
SHAPE: Shape = (3, 32, 32)
PRINTED_M = 7.1e6  # parameters of SSM VAE on Cifar10, table 1
VARIANTS: dict[str, dict[str, Any]] = {
    "ssm-vae": {},
    "aug-8": {"preprocessing": "augmented", "layers": 8},
    "aug-16": {"preprocessing": "augmented", "layers": 16},
    "deq-vae": {"preprocessing": "deq"},
}


def layers(paper: str) -> list[Row]:
    """Rows table, method, metric, value, unit, note: layers that are as printed, and parameters at a fitted m."""
    widths = {M: "m channels", 2 * M: "2m channels", 4 * M: "4m channels", 8 * M: "8m channels"}
    dense = {HIDDEN: str(HIDDEN), LATENT: "D_z"}
    with torch.device("meta"):
        net = _vae(M, {"preprocessing": "augmented", "layers": 8})
    encoder = described([*net.encoder.body, *net.encoder.head], widths, dense)
    decoder = described(list(net.decoder), {**widths, SHAPE[0]: "c channels (image channels)"}, dense)
    before = ["concatenate x with Softplus(dense(z))", "augmented pre-processing layer (see Table 7)"]
    score = [*before, *described([*net.score.body, *net.score.head], widths, dense)]
    rows = []
    for part, made in (("encoder", encoder), ("decoder", decoder), ("score", score)):
        named = {"encoder": "implicit encoder", "decoder": "decoder", "score": "score estimator"}[part]
        rows += beside(paper, f"SSM VAE {named}", "Table 6", made, method=part, table="table-6")
    return [*rows, *_before(paper, widths, dense), *_parameters()]


def _before(paper: str, widths: dict[int, str], dense: dict[int, str]) -> list[Row]:
    """Table 7: every added convolution in the printed words, and the equilibrium's map by its values."""
    made = sorted(set(described(list(augmented(2 * SHAPE[0], M, 8)), widths, dense)))
    rows = beside(paper, "Aug(k)-SSM VAE pre-processing", "Table 7", made, method="augmented", table="table-7")
    net = Equilibrium(2 * SHAPE[0], M, {}, {"derivative": "exact"})
    z, g = (torch.rand(2, M, 6, 6, generator=torch.Generator().manual_seed(k)) for k in range(2))
    cell = net.deq.cell
    assert isinstance(cell, ConvCell)
    by_hand = nn.functional.softplus(nn.functional.conv2d(z, cell.matrix(), padding=2) + g)
    same = [torch.allclose(cell(z, g), by_hand, atol=1e-6), described(list(net.g), widths, dense) == made]
    about: dict[str, Any] = {"table": "table-7", "method": "deq-vae", "unit": "", "note": ""}
    return [
        *rows,
        {**about, "metric": "layers", "value": 2.0},
        {**about, "metric": "as_printed", "value": sum(same) / len(same)},
    ]


def _vae(width: int, options: dict[str, Any]) -> ImplicitVAE:
    return ImplicitVAE(SHAPE, LATENT, width, ScoreNetwork(SHAPE, LATENT, width, **options))


def _parameters() -> list[Row]:
    """Millions of parameters by the printed layers, at the m that comes nearest to the printed count of SSM VAE."""

    def count(width: int, options: dict[str, Any]) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in _vae(width, options).parameters())

    m = min(range(8, 129), key=lambda width: abs(count(width, {}) - PRINTED_M))
    about: dict[str, Any] = {"table": "parameters", "unit": "M", "note": f"m = {m}, D_z = {LATENT}"}
    return [
        {**about, "method": name, "metric": "fitted_parameters", "value": count(m, options) / 1e6}
        for name, options in VARIANTS.items()
    ]
