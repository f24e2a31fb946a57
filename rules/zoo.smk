"""The shipped checkpoints, trained from scratch into results/zoo/."""


rule zoo:
    message:
        "every checkpoint of the zoo"
    input:
        [f"results/zoo/{model}/card.json" for model in RECIPES],
    localrule: True


rule zoo_model:
    message:
        "training {wildcards.model}"
    input:
        lambda w: f"results/zoo/{built_on(w.model)}/card.json" if built_on(w.model) else [],
    output:
        multiext("results/zoo/{model}/", "card.json", "history.parquet"),
    log:
        "results/zoo/logs/{model}.log",
    params:
        recipe=lambda w: RECIPES[w.model].model_dump_json(),
    resources:
        runtime=120,
        mem_mb=4000,
    shell:
        "deqbench --threads {threads} zoo train {wildcards.model} --recipe {params.recipe:q}"
        " --out results/zoo/{wildcards.model} 2> {log}"
