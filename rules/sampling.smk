"""DEQ-DDIM sampling: tables 1, 2, 4 (images, their scores, times), figures 1, 11 (traces), 2, 18 (latents), 12, 13."""


rule sampling_images:
    message:
        "deq-ddim/{wildcards.experiment}: {wildcards.method} on {wildcards.dataset}, shard {wildcards.shard}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/{{experiment}}/{{dataset}}/{{method}}/{{shard}}.safetensors",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}/{{method}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}/{{method}}/{{shard}}.tsv"
    wildcard_constraints:
        experiment="|".join(SCORED),
    params:
        settings=settings(jobs.draw, "dataset", "method", "shard", "experiment"),
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
        "deq-ddim/{wildcards.experiment}: scores on {wildcards.dataset}"
    input:
        drawn=drawn,
        dataset=f"{RESULTS}/datasets/{{dataset}}.safetensors",
        statistics=f"{RESULTS}/statistics/{{dataset}}.safetensors",
    output:
        f"{SAMPLING}/{{experiment}}/{{dataset}}/scores.csv",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}/scores.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}/scores.tsv"
    wildcard_constraints:
        experiment="|".join(SCORED),
    params:
        settings=settings(jobs.score, "dataset", "experiment"),
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
        "deq-ddim/{wildcards.experiment}: times, alone on the machine"
    input:
        lambda w: [f"{RESULTS}/checkpoints/{dataset}" for dataset in PAPER.experiment(w.experiment).times],
    output:
        f"{SAMPLING}/{{experiment}}/times.csv",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/times.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/times.tsv"
    wildcard_constraints:
        experiment="|".join(SCORED),
    params:
        settings=settings(jobs.time, "experiment"),
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
        "deq-ddim/{wildcards.experiment}: traces on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        traces=f"{SAMPLING}/{{experiment}}/{{dataset}}.parquet",
        summary=f"{SAMPLING}/{{experiment}}/{{dataset}}.csv",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}.tsv"
    wildcard_constraints:
        experiment="|".join(TRACED),
    params:
        settings=settings(jobs.trace, "dataset", "experiment"),
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
        "deq-ddim/{wildcards.experiment}: latents on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/{{experiment}}/{{dataset}}.safetensors",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}.tsv"
    wildcard_constraints:
        experiment="|".join(LATENT),
    params:
        settings=settings(jobs.latents, "dataset", "experiment"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling latents --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output} 2> {log}"


rule sampling_samples:
    message:
        "deq-ddim/{wildcards.experiment}: samples at several eta on {wildcards.dataset}"
    input:
        f"{RESULTS}/checkpoints/{{dataset}}",
    output:
        f"{SAMPLING}/{{experiment}}/{{dataset}}.safetensors",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}.tsv"
    wildcard_constraints:
        experiment="|".join(SAMPLED),
    params:
        settings=settings(jobs.samples, "dataset", "experiment"),
        code=code("sampling"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench sampling samples --settings {params.settings:q} --weights {input} --threads {threads}"
        " --out {output} 2> {log}"
