"""Every table and figure of the four papers: `snakemake --cores all reproduce`; --config scale=NAME for another scale."""

import sys

from deqbench.errors import UserError
from deqbench.workflow import scale_file

# Snakemake merges config files, so a scale is loaded only where --configfile gave none.
if not workflow.configfiles:
    try:
        SCALE_FILE = scale_file(config)
    except UserError as error:
        sys.exit(f"deqbench: {error}")

    configfile: SCALE_FILE


include: "rules/common.smk"
include: "rules/stages.smk"
include: "rules/zoo.smk"


rule reproduce:
    default_target: True
    message:
        "the report: {input}"
    input:
        plan.page(CONFIG),
    localrule: True
