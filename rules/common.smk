"""The validated config, the steps that follow from it, and the rules' common words."""

import shlex
import sys
from pathlib import Path

from deqbench import ready, scale
from deqbench.config.reading import recipes
from deqbench.errors import UserError
from deqbench.report import plan
from deqbench.workflow import claim_lock, config_source

CONFIG_FILE = config_source(workflow)
try:
    CONFIG = scale.validate(config, CONFIG_FILE)
    RECIPES = recipes("config/zoo.yaml")
except UserError as error:
    sys.exit(f"deqbench: {error}")

# Rules call the command line of the Python that snakemake itself runs in.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

LIMITS = CONFIG.limits
RESOURCES = {"runtime": LIMITS.runtime, "mem_mb": LIMITS.mem_mb, "gpu": LIMITS.gpu}
STEPS = [*CONFIG.steps, *plan.steps(CONFIG, CONFIG_FILE)]


def outputs(step):
    """The outputs of a step by name; paths that end with a slash are folders."""
    return {name: directory(path[:-1]) if path.endswith("/") else path for name, path in step.outputs.items()}


def built_on(model):
    """The model of the zoo that this one is trained on top of, if any."""
    return getattr(RECIPES[model], "builds_on", None)


onstart:
    claim_lock()
    if not LIMITS.gpu:  # CUDA forbids forks of a process that looked at its devices
        ready.start()
