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
        "results/zoo/{model}/card.json",
    log:
        "results/zoo/logs/{model}.log",
    benchmark:
        "results/zoo/benchmarks/{model}.tsv"
    params:
        recipe=lambda w: RECIPES[w.model].model_dump_json(),
        base=lambda w: f"--base results/zoo/{built_on(w.model)}" if built_on(w.model) else "",
    threads: 1
    resources:
        runtime=120,
        mem_mb=4000,
    shell:
        "deqbench zoo train {wildcards.model} --recipe {params.recipe:q} --threads {threads}"
        " {params.base} --out results/zoo/{wildcards.model} 2> {log}"
