"""Studies beside the paper's exhibits: costs by batch size, long solves, workers."""

STUDIED = {
    name: [f"{SAMPLING}/{name}/{dataset}.csv" for dataset in PAPER.experiment(name)]
    for name in ("costs", "cycles", "workers")
    if PAPER.experiment(name)
}


rule studies_costs:
    message:
        "deq-ddim/costs: times and memory on {wildcards.dataset}, alone on the machine"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/costs/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/costs/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/costs/{{dataset}}.tsv"
    params:
        settings=settings(jobs.costs, "dataset"),
        code=code("studies"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench studies costs --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output} 2> {log}"


rule studies_cycles:
    message:
        "deq-ddim/cycles: long solves on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/cycles/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/cycles/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/cycles/{{dataset}}.tsv"
    params:
        settings=settings(jobs.cycles, "dataset"),
        code=code("studies"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench studies cycles --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output} 2> {log}"


rule studies_workers:
    message:
        "deq-ddim/workers: times on {wildcards.dataset}, alone on the machine"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/workers/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/workers/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/workers/{{dataset}}.tsv"
    params:
        settings=settings(jobs.workers, "dataset"),
        code=code("studies"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench studies workers --settings {params.settings:q} --weights {input} --out {output} 2> {log}"
