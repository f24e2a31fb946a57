"""The networks, fetched and checked."""


rule checkpoint:
    message:
        "checkpoint of {wildcards.dataset}"
    input:
        f"{RESULTS}/datasets/{{dataset}}.safetensors",
    output:
        directory(f"{RESULTS}/checkpoints/{{dataset}}"),
    log:
        f"{LOGS}/checkpoints/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/checkpoints/{{dataset}}.tsv"
    params:
        settings=settings(jobs.checkpoint, "dataset"),
        code=code("checkpoint"),
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
    shell:
        "deqbench checkpoint fetch {wildcards.dataset} --settings {params.settings:q} --dataset {input}"
        " --out {output} 2> {log}"


rule network:
    message:
        "network {wildcards.network}"
    output:
        directory(f"{RESULTS}/networks/{{network}}"),
    log:
        f"{LOGS}/networks/{{network}}.log",
    benchmark:
        f"{BENCHMARKS}/networks/{{network}}.tsv"
    params:
        settings=settings(jobs.network, "network"),
        code=code("checkpoint"),
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
    shell:
        "deqbench checkpoint fetch {wildcards.network} --settings {params.settings:q} --out {output} 2> {log}"
