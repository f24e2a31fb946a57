"""The data sets with their fixed splits."""


rule dataset:
    message:
        "data set {wildcards.dataset}"
    output:
        f"{RESULTS}/datasets/{{dataset}}.safetensors",
    log:
        f"{LOGS}/datasets/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/datasets/{{dataset}}.tsv"
    params:
        settings=settings(jobs.dataset, "dataset"),
        code=code("dataset"),
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
    shell:
        "deqbench dataset build {wildcards.dataset} --settings {params.settings:q} --out {output} 2> {log}"
