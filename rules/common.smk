"""The validated config, the paths of results, and what a job is told."""

import shlex
import sys
from pathlib import Path

from deqbench import jobs, papers, provenance, ready
from deqbench.config import recipes, validate
from deqbench.config.sampling import LATENT, SAMPLED, SCORED, TRACED
from deqbench.errors import UserError
from deqbench.workflow import claim_lock, config_source

CONFIG_FILE = config_source(workflow)
try:
    CONFIG = validate(config, CONFIG_FILE)
    RECIPES = recipes("config/zoo.yaml")
except UserError as error:
    sys.exit(f"deqbench: {error}")

# Rules call the command line of the Python that snakemake itself runs in.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

LIMITS = CONFIG.limits
OUTSIDE = provenance.outside(CONFIG.model_dump())
RESULTS = f"results/{CONFIG.scale}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
SAMPLING = f"{RESULTS}/deq-ddim"
PAPER = CONFIG.papers.deq_ddim
DECODING = f"{RESULTS}/decoder-inversion"
DECODERS = CONFIG.papers.decoder_inversion


wildcard_constraints:
    dataset="[a-z0-9-]+",
    network="[a-z0-9-]+",
    method="[a-z0-9-]+",
    shard="[0-9]+",
    model="[a-z0-9-]+",


def code(command):
    """Digest of the modules behind a command, so that its results go stale when they change."""
    return provenance.code_digest(f"deqbench.commands.{command}", outside=OUTSIDE)


def settings(make, *args):
    """A function of wildcards: this job's slice of the config as JSON, made by `deqbench.jobs`."""
    return lambda w: make(CONFIG, *(getattr(w, name) for name in args)).model_dump_json()


def drawn(w):
    """All shards of the images of all scored methods of a data set."""
    table = PAPER.experiment(w.experiment)
    return [
        f"{SAMPLING}/{w.experiment}/{w.dataset}/{name}/{shard}.safetensors"
        for name in table.drawn(w.dataset)
        for shard in range(table.scores[w.dataset].shards)
    ]


def records(names, *endings):
    """The records, a file a data set and ending, of those of the experiments named that this scale has."""
    return {
        name: [f"{SAMPLING}/{name}/{dataset}{ending}" for dataset in figure.datasets for ending in endings]
        for name, figure in PAPER.sections(*names).items()
    }


def inverted_files(experiment, dataset, T):
    """Records, traces and pictures of one data set's inversions at one T."""
    return [f"{SAMPLING}/{experiment}/{dataset}/{T}{ending}" for ending in (".csv", ".parquet", ".safetensors")]


def inverted_settings(places):
    """The slices of the config of some inversions, as options of a command."""
    slices = [jobs.invert(CONFIG, dataset, T, name).model_dump_json() for name, dataset, T in places]
    return " ".join(f"--settings {shlex.quote(found)}" for found in slices)


def built_on(model):
    """The model of the zoo that this one is trained on top of, if any."""
    return getattr(RECIPES[model], "builds_on", None)


def autoencoder(model):
    """The folder of a latent model's autoencoder."""
    return networks_named(model)["autoencoder"]


def networks_named(model):
    """The autoencoder of a model and, unless its targets are codes, the network that makes its latents."""
    found = DECODERS.models[model]
    names = {"autoencoder": found.autoencoder, "denoiser": found.denoiser}
    return {part: f"{RESULTS}/networks/{name}" for part, name in names.items() if name is not None}


def networks_of(w):
    """The same for a job's model."""
    return networks_named(w.model)


def networks_given(w, input):
    """The same as options of a command."""
    return " ".join(f"--{part} {path}" for part, path in input.items())


def exhibits(paper, made, of):
    """The records of each exhibit and study of a paper that has some among those made, chosen by `of`."""
    known = (*papers.exhibits(paper), *papers.studies(paper))
    found = {exhibit.id: of(exhibit, made[paper]) for exhibit in known}
    return {name: paths for name, paths in found.items() if paths}


def once(paths):
    """The files of all exhibits, each once."""
    return sorted({str(path) for files in paths.values() for path in files})


onstart:
    claim_lock()
    if not LIMITS.gpu:  # CUDA forbids forks of a process that looked at its devices
        ready.start()
