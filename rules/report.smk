"""Tables, claims, figures and pages: pure functions of the records."""

from deqbench import papers
from deqbench.report.sources import of_figure, of_table

RECORDS = {
    name: [f"{SAMPLING}/{name}/{dataset}/scores.csv" for dataset in table.scores]
    + [f"{SAMPLING}/{name}/times.csv"] * bool(table.times)
    for name, table in PAPER.sections(*SCORED).items()
}
RECORDS |= records(TRACED, ".csv", ".parquet") | records((*LATENT, *SAMPLED), ".safetensors") | STUDIED | INVERSION
MADE = [Path(path) for paths in RECORDS.values() for path in paths]
EXHIBITS = (*papers.exhibits("deq-ddim"), *papers.studies("deq-ddim"))
TABULATED = {exhibit.id: of_table(exhibit, MADE) for exhibit in EXHIBITS}
DRAWN = {exhibit.id: of_figure(exhibit, MADE) for exhibit in EXHIBITS}
TABLES = [f"{RESULTS}/tables/deq-ddim/{name}.csv" for name, paths in TABULATED.items() if paths]
FIGURES = [f"{RESULTS}/figures/deq-ddim/{name}/figure.json" for name, paths in DRAWN.items() if paths]


rule effective_config:
    message:
        "the config with every override"
    output:
        f"{RESULTS}/config.json",
    log:
        f"{LOGS}/config.log",
    params:
        settings=CONFIG.model_dump_json(by_alias=True),
    localrule: True
    shell:
        "deqbench config write --settings {params.settings:q} --out {output} 2> {log}"


rule table:
    message:
        "deq-ddim: cells of every exhibit"
    input:
        config=f"{RESULTS}/config.json",
        records=once(TABULATED),
    output:
        TABLES,
    log:
        f"{LOGS}/tables/deq-ddim.log",
    params:
        folder=subpath(output[0], parent=True),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report tables deq-ddim {input.records} --config {input.config} --out {params.folder} 2> {log}"


rule claims:
    message:
        "deq-ddim: verdicts"
    input:
        config=f"{RESULTS}/config.json",
        tables=TABLES,
    output:
        f"{RESULTS}/claims/deq-ddim.json",
    log:
        f"{LOGS}/claims/deq-ddim.log",
    params:
        code=code("report"),
    localrule: True
    shell:
        "deqbench report claims deq-ddim {input.tables} --config {input.config} --out {output} 2> {log}"


rule figure:
    message:
        "deq-ddim: drawings of every figure"
    input:
        once(DRAWN),
    output:
        FIGURES,
    log:
        f"{LOGS}/figures/deq-ddim.log",
    params:
        folder=subpath(output[0], ancestor=2),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report figures deq-ddim {input} --out {params.folder} 2> {log}"


rule site:
    message:
        "the report of {CONFIG.scale}"
    input:
        TABLES,
        FIGURES,
        COMPARISON_REPORT,
        f"{RESULTS}/claims/deq-ddim.json",
        config=f"{RESULTS}/config.json",
        templates=[str(path) for name in ("static", "templates") for path in sorted(Path("reports", name).iterdir())],
    output:
        f"reports/{CONFIG.scale}/index.html",
    log:
        f"{LOGS}/site.log",
    params:
        config_file=CONFIG_FILE,
        code=code("report"),
    localrule: True
    shell:
        "deqbench report site --config {input.config} --config-file {params.config_file:q} 2> {log}"
