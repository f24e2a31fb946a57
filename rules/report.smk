"""Tables, claims, figures and pages: pure functions of the records."""

from deqbench.report.sources import of_figure, of_table

RECORDS = {
    name: [f"{SAMPLING}/{name}/{dataset}/scores.csv" for dataset in table.scores]
    + [f"{SAMPLING}/{name}/times.csv"] * bool(table.times)
    for name, table in PAPER.sections(*SCORED).items()
}
RECORDS |= records(TRACED, ".csv", ".parquet") | records((*LATENT, *SAMPLED), ".safetensors") | STUDIED | INVERSION
MADE = {  # the records of each paper that this scale measures
    paper: [Path(path) for paths in found.values() for path in paths]
    for paper, found in {"deq-ddim": RECORDS, "decoder-inversion": SWEPT | CODED | MARKED}.items()
    if any(found.values())
}
TABULATED = {paper: exhibits(paper, MADE, of_table) for paper in MADE}
DRAWN = {paper: exhibits(paper, MADE, of_figure) for paper in MADE}
TABLES = {paper: [f"{RESULTS}/tables/{paper}/{name}.csv" for name in found] for paper, found in TABULATED.items()}
FIGURES = {paper: [f"{RESULTS}/figures/{paper}/{name}/figure.json" for name in found] for paper, found in DRAWN.items()}
VERDICTS = {paper: f"{RESULTS}/claims/{paper}.json" for paper in MADE}
ACCEPTED = {  # tables of other scales, which claims are judged by as well
    paper: sorted(
        str(path) for path in Path("results/reference").glob(f"*/{paper}/*.csv") if path.parents[1].name != CONFIG.scale
    )
    for paper in MADE
}


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
        records=once(TABULATED["deq-ddim"]),
    output:
        TABLES["deq-ddim"],
    log:
        f"{LOGS}/tables/deq-ddim.log",
    params:
        paper="deq-ddim",
        folder=subpath(output[0], parent=True),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report tables {params.paper} {input.records} --config {input.config} --out {params.folder} 2> {log}"


rule claims:
    message:
        "deq-ddim: verdicts"
    input:
        config=f"{RESULTS}/config.json",
        tables=TABLES["deq-ddim"],
        accepted=ACCEPTED["deq-ddim"],
    output:
        VERDICTS["deq-ddim"],
    log:
        f"{LOGS}/claims/deq-ddim.log",
    params:
        paper="deq-ddim",
        accepted=lambda w, input: " ".join(f"--accepted {file}" for file in input.accepted),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report claims {params.paper} {input.tables} {params.accepted} --config {input.config} --out {output}"
        " 2> {log}"


rule figure:
    message:
        "deq-ddim: drawings of every figure"
    input:
        once(DRAWN["deq-ddim"]),
    output:
        FIGURES["deq-ddim"],
    log:
        f"{LOGS}/figures/deq-ddim.log",
    params:
        paper="deq-ddim",
        folder=subpath(output[0], ancestor=2),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report figures {params.paper} {input} --out {params.folder} 2> {log}"


if "decoder-inversion" in MADE:

    use rule table as decoder_table with:
        message:
            "decoder-inversion: cells of every exhibit"
        input:
            config=f"{RESULTS}/config.json",
            records=once(TABULATED["decoder-inversion"]),
        output:
            TABLES["decoder-inversion"],
        log:
            f"{LOGS}/tables/decoder-inversion.log",
        params:
            paper="decoder-inversion",
            folder=subpath(output[0], parent=True),
            code=code("report"),

    use rule claims as decoder_claims with:
        message:
            "decoder-inversion: verdicts"
        input:
            config=f"{RESULTS}/config.json",
            tables=TABLES["decoder-inversion"],
            accepted=ACCEPTED["decoder-inversion"],
        output:
            VERDICTS["decoder-inversion"],
        log:
            f"{LOGS}/claims/decoder-inversion.log",
        params:
            paper="decoder-inversion",
            accepted=lambda w, input: " ".join(f"--accepted {file}" for file in input.accepted),
            code=code("report"),

    use rule figure as decoder_figure with:
        message:
            "decoder-inversion: drawings of every figure"
        input:
            once(DRAWN["decoder-inversion"]),
        output:
            FIGURES["decoder-inversion"],
        log:
            f"{LOGS}/figures/decoder-inversion.log",
        params:
            paper="decoder-inversion",
            folder=subpath(output[0], ancestor=2),
            code=code("report"),


rule site:
    message:
        "the report of {CONFIG.scale}"
    input:
        once(TABLES),
        once(FIGURES),
        COMPARISON_REPORT,
        list(VERDICTS.values()),
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
