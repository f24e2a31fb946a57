"""DEQ-DDIM sampling: table 1 (images, their scores, times), figure 1 (traces), figure 2 (latents)."""


rule sampling_images:
    message:
        "deq-ddim/table-1: {wildcards.method} on {wildcards.dataset}, shard {wildcards.shard}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/table-1/{{dataset}}/{{method}}/{{shard}}.safetensors",
    log:
        f"{LOGS}/deq-ddim/table-1/{{dataset}}/{{method}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/table-1/{{dataset}}/{{method}}/{{shard}}.tsv"
    params:
        settings=settings(jobs.draw, "dataset", "method", "shard"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling draw {wildcards.method} --settings {params.settings:q} --weights {input}"
        " --threads {threads} --out {output} 2> {log}"


rule sampling_scores:
    message:
        "deq-ddim/table-1: scores on {wildcards.dataset}"
    input:
        drawn=drawn,
        dataset=f"{RESULTS}/datasets/{{dataset}}.safetensors",
        statistics=f"{RESULTS}/statistics/{{dataset}}.safetensors",
    output:
        f"{SAMPLING}/table-1/{{dataset}}/scores.csv",
    log:
        f"{LOGS}/deq-ddim/table-1/{{dataset}}/scores.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/table-1/{{dataset}}/scores.tsv"
    params:
        settings=settings(jobs.score, "dataset"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
    shell:
        "deqbench sampling score {input.drawn} --settings {params.settings:q} --dataset {input.dataset}"
        " --statistics {input.statistics} --threads {threads} --out {output} 2> {log}"


rule sampling_times:
    message:
        "deq-ddim/table-1: times, alone on the machine"
    input:
        [f"{RESULTS}/checkpoints/{dataset}" for dataset in PAPER.table_1.times],
    output:
        f"{SAMPLING}/table-1/times.csv",
    log:
        f"{LOGS}/deq-ddim/table-1/times.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/table-1/times.tsv"
    params:
        settings=settings(jobs.time),
        weights=lambda w, input: " ".join(f"--weights {folder}" for folder in input),
        code=code("sampling"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling time {params.weights} --settings {params.settings:q} --threads {threads}"
        " --out {output} 2> {log}"


rule sampling_traces:
    message:
        "deq-ddim/figure-1: traces on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        traces=f"{SAMPLING}/figure-1/{{dataset}}.parquet",
        summary=f"{SAMPLING}/figure-1/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/figure-1/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/figure-1/{{dataset}}.tsv"
    params:
        settings=settings(jobs.trace, "dataset"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling trace --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output.traces} --summary {output.summary} 2> {log}"


rule sampling_latents:
    message:
        "deq-ddim/figure-2: latents on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/figure-2/{{dataset}}.safetensors",
    log:
        f"{LOGS}/deq-ddim/figure-2/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/figure-2/{{dataset}}.tsv"
    params:
        settings=settings(jobs.latents, "dataset"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling latents --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output} 2> {log}"
