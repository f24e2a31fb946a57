"""Slices behind the targets of the inversions."""

from deqbench.config import Config, Strict
from deqbench.jobs.decoder.common import DecoderJob, paper, place


class MakeTargets(Strict):
    """The targets of all models, both splits: one job, for starting Python takes longer than most of them."""

    models: dict[str, DecoderJob]


def make_targets(config: Config) -> MakeTargets:
    """The slice behind the targets of all models."""
    return MakeTargets(models={name: DecoderJob(**place(config, name)) for name in paper(config).models})
