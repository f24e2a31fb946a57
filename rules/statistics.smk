"""The features of real images."""


rule statistics:
    message:
        "features of {wildcards.dataset}"
    input:
        f"{RESULTS}/datasets/{{dataset}}.safetensors",
    output:
        f"{RESULTS}/statistics/{{dataset}}.safetensors",
    log:
        f"{LOGS}/statistics/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/statistics/{{dataset}}.tsv"
    params:
        extractor=lambda w: CONFIG.datasets[w.dataset].extractor,
        code=code("statistics"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench statistics features --dataset {input} --extractor {params.extractor} --threads {threads}"
        " --out {output} 2> {log}"
