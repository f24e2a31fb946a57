"""Studies beside the paper's exhibits: costs by batch size, long solves, workers; gradients and memory of inversion."""

STUDIED = {
    name: [f"{SAMPLING}/{name}/{dataset}.csv" for dataset in PAPER.experiment(name)]
    for name in ("costs", "cycles", "workers", "gradients", "inversion-memory")
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


rule studies_gradients:
    message:
        "deq-ddim/gradients: every gradient beside the exact one on {wildcards.dataset}"
    input:
        weights=f"{RESULTS}/checkpoints/{{dataset}}",
        dataset=f"{RESULTS}/datasets/{{dataset}}.safetensors",
    output:
        f"{SAMPLING}/gradients/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/gradients/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/gradients/{{dataset}}.tsv"
    params:
        settings=settings(jobs.gradients, "dataset"),
        code=code("studies"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench studies gradients --settings {params.settings:q} --weights {input.weights}"
        " --dataset {input.dataset} --threads {threads} --out {output} 2> {log}"


rule studies_inversion_memory:
    message:
        "deq-ddim/inversion-memory: bytes of gradients and inverters on {wildcards.dataset}"
    input:
        weights=f"{RESULTS}/checkpoints/{{dataset}}",
        dataset=f"{RESULTS}/datasets/{{dataset}}.safetensors",
    output:
        f"{SAMPLING}/inversion-memory/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/inversion-memory/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/inversion-memory/{{dataset}}.tsv"
    params:
        settings=settings(jobs.inversion_memory, "dataset"),
        code=code("studies"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench studies inversion-memory --settings {params.settings:q} --weights {input.weights}"
        " --dataset {input.dataset} --threads {threads} --out {output} 2> {log}"
