"""Slices behind the studies of encoder after decoder, and the files that they make."""

from deqbench.config import Config
from deqbench.config.decoder import DecoderInversion, DecoderInverter
from deqbench.config.decoder.studies import Cocoercivity, CodecMemory, Frames, HalfPrecision, Theorems
from deqbench.errors import UserError
from deqbench.jobs.decoder.common import PAPER, DecoderJob, paper, place


class CodecStudy(DecoderJob):
    """Iterates of one model's inversions: cocoercivity, and theorems and precision where this scale has them."""

    cocoercivity: Cocoercivity
    theorems: Theorems | None
    precision: HalfPrecision | None
    inverters: dict[str, DecoderInverter]


class CodecBytes(DecoderJob):
    """Bytes of one model's iterations, and frames that fit."""

    memory: CodecMemory
    frames: Frames | None


def codec_study(config: Config, model: str) -> CodecStudy:
    """The slice behind one model's iterates. UserError: the config has no cocoercivity."""
    found = paper(config)
    if found.cocoercivity is None:
        raise UserError(f"papers.{PAPER}.cocoercivity: expected a section; found none")
    named = [name for runs in found.cocoercivity.figures.values() for name in runs.inverters]
    for section in (found.theorems, found.precision):
        named += section.inverters if section else []
    named += [found.theorems.zero] if found.theorems else []
    return CodecStudy(
        **place(config, model),
        cocoercivity=found.cocoercivity,
        theorems=found.theorems,
        precision=found.precision,
        inverters={name: found.inverters[name] for name in dict.fromkeys(named)},
    )


def codec_bytes(config: Config, model: str) -> CodecBytes:
    """The slice behind one model's bytes. UserError: the config has no memory section."""
    found = paper(config)
    if found.memory is None:
        raise UserError(f"papers.{PAPER}.memory: expected a section; found none")
    return CodecBytes(**place(config, model), memory=found.memory, frames=found.frames)


Sections = CodecStudy | CodecBytes | DecoderInversion | None


def study_files(found: Sections, model: str) -> list[str]:
    """What `codec study` writes of a model, relative to the paper's results: none without the section."""
    if found is None or isinstance(found, CodecBytes) or found.cocoercivity is None:
        return []
    files = [f"cocoercivity/{model}/{name}{end}" for name in found.cocoercivity.figures for end in (".csv", ".parquet")]
    files += [f"theorems/{model}/{name}.csv" for name in ("runs", "remarks")] * (found.theorems is not None)
    return files + [
        f"precision/{model}/{name}" for name in ("gradients.csv", "iterates.csv", "iterates.parquet")
    ] * bool(found.precision)


def bytes_files(found: Sections, model: str) -> list[str]:
    """What `codec memory` writes of a model, relative to the paper's results: none without the section."""
    if found is None or isinstance(found, CodecStudy) or found.memory is None:
        return []
    return [f"memory/{model}.csv", *[f"frames/{model}.csv"] * (found.frames is not None)]


def records(found: DecoderInversion | None) -> dict[str, list[str]]:
    """All files of both commands by experiment, relative to the paper's results."""
    files: list[str] = []
    if found is not None and found.cocoercivity is not None:
        files += [path for model in found.cocoercivity.models for path in study_files(found, model)]
    if found is not None and found.memory is not None:
        files += [path for model in found.memory.models for path in bytes_files(found, model)]
    by_experiment: dict[str, list[str]] = {}
    for path in files:
        by_experiment.setdefault(path.split("/")[0], []).append(path)
    return by_experiment
