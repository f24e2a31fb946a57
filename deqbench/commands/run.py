"""One job of a stage: its slice of the config and its files in, its records out, with their provenance."""

from typing import Annotated

import typer

from deqbench import provenance
from deqbench.config.reading import parse_job
from deqbench.errors import UserError
from deqbench.experiments import stage as stages
from deqbench.experiments.files import Files, parse, write
from deqbench.measure.progress import progress


def command(
    stage: Annotated[str, typer.Argument(help="such as deq_ddim.traces.trace")],
    settings: Annotated[str, typer.Option(help="this job's slice of the config, as JSON")],
    input: Annotated[list[str], typer.Option(help="name=path of a file to read; may be repeated")] = [],  # noqa: B006
    output: Annotated[list[str], typer.Option(help="name=path of a file to write; may be repeated")] = [],  # noqa: B006
) -> None:
    """Runs one job of a stage and writes its outputs, each with its provenance. UserError: as the stage has it."""
    kind, declared = stages.named(stage)
    job = parse_job(stages.slice_type(declared), settings)
    files = Files(parse("input", input), {name: paths[-1] for name, paths in parse("output", output).items()})
    measure = getattr(stages.module(kind, "measure"), declared.name)
    about = {name: told for name in ("paper", "experiment", "dataset") if (told := getattr(job, name, None))}
    with (
        provenance.recorded([*files.outputs.values()], f"run {stage}", measure.__module__, job) as facts,
        progress(stage) as on_step,
    ):
        contents = measure(job, files, on_step)
        facts |= contents.pop("facts", {})
        for name, content in contents.items():
            if name not in files.outputs:
                raise UserError(f"--output: expected {name}=path; found {', '.join(files.outputs) or 'none'}")
            write(files.outputs[name], content, about)
