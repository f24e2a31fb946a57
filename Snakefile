"""Every table and figure of the four papers: `snakemake --cores all reproduce`, or another scale with --configfile."""

import sys

# Snakemake merges config files, so the demo is loaded only where no other was asked for.
if not workflow.configfiles:

    configfile: "config/demo.yaml"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/checkpoints.smk"
include: "rules/statistics.smk"
include: "rules/sampling.smk"
include: "rules/comparison.smk"
include: "rules/studies.smk"
include: "rules/inversion.smk"
include: "rules/latents.smk"
include: "rules/decoder.smk"
include: "rules/codec.smk"
include: "rules/report.smk"
include: "rules/zoo.smk"


rule reproduce:
    default_target: True
    message:
        "the report: {input}"
    input:
        f"reports/{CONFIG.scale}/index.html",
    localrule: True
