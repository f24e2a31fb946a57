"""All samplers on the same chains: a job for each problem and T, and one that times them all."""

COMPARISON = f"{SAMPLING}/comparison"
COMPARED = PAPER.comparison.problems if PAPER.comparison else {}
CHAINS = [f"{COMPARISON}/{problem}/{T}" for problem, chains in COMPARED.items() for T in chains.images]
TIMED = [f"{COMPARISON}/{problem}/{T}" for problem, chains in COMPARED.items() for T in chains.timed]
CLOCKED_NETWORKS = [name for name in CONFIG.datasets if name in COMPARED and COMPARED[name].timed]
CLOCKED = [f"{COMPARISON}/times"] if TIMED else []
COMPARISON_REPORT = (
    [f"{RESULTS}/tables/deq-ddim/comparison.csv", f"{RESULTS}/figures/deq-ddim/comparison/figure.json"]
    if CHAINS
    else []
)


wildcard_constraints:
    problem="[a-z0-9-]+",
    T="[0-9]+",


rule comparison_measure:
    message:
        "deq-ddim/comparison: all methods on {wildcards.problem}, T = {wildcards.T}"
    input:
        weights=lambda w: [f"{RESULTS}/checkpoints/{name}" for name in CONFIG.datasets if name == w.problem],
        data=lambda w: [f"{RESULTS}/datasets/{name}.safetensors" for name in CONFIG.datasets if name == w.problem],
    output:
        records=f"{COMPARISON}/{{problem}}/{{T}}.csv",
        traces=f"{COMPARISON}/{{problem}}/{{T}}.parquet",
        chosen=f"{COMPARISON}/{{problem}}/{{T}}.chosen.json",
    log:
        f"{LOGS}/deq-ddim/comparison/{{problem}}/{{T}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/comparison/{{problem}}/{{T}}.tsv"
    params:
        settings=settings(jobs.compare, "problem", "T"),
        weights=lambda w, input: " ".join(f"--weights {folder}" for folder in input.weights),
        data=lambda w, input: " ".join(f"--dataset {path}" for path in input.data),
        code=code("comparison"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench comparison measure {params.weights} {params.data} --settings {params.settings:q} --threads {threads}"
        " --out {output.records} --traces {output.traces} --chosen {output.chosen} 2> {log}"


rule comparison_times:
    message:
        "deq-ddim/comparison: times, alone on the machine"
    input:
        weights=[f"{RESULTS}/checkpoints/{name}" for name in CLOCKED_NETWORKS],
        data=[f"{RESULTS}/datasets/{name}.safetensors" for name in CLOCKED_NETWORKS],
        chosen=[f"{path}.chosen.json" for path in TIMED],
    output:
        records=f"{COMPARISON}/times.csv",
        traces=f"{COMPARISON}/times.parquet",
    log:
        f"{LOGS}/deq-ddim/comparison/times.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/comparison/times.tsv"
    params:
        settings=settings(jobs.time_compared),
        weights=lambda w, input: " ".join(f"--weights {folder}" for folder in input.weights),
        data=lambda w, input: " ".join(f"--dataset {path}" for path in input.data),
        chosen=lambda w, input: " ".join(f"--chosen {path}" for path in input.chosen),
        code=code("comparison"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench comparison time {params.weights} {params.data} {params.chosen} --settings {params.settings:q} --threads {threads}"
        " --out {output.records} --traces {output.traces} 2> {log}"


rule comparison_table:
    message:
        "deq-ddim/comparison: cells"
    input:
        config=f"{RESULTS}/config.json",
        records=[f"{path}.csv" for path in CHAINS + CLOCKED],
    output:
        f"{RESULTS}/tables/deq-ddim/comparison.csv",
    log:
        f"{LOGS}/tables/deq-ddim/comparison.log",
    params:
        folder=subpath(output[0], parent=True),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report tables deq-ddim {input.records} --config {input.config} --out {params.folder} 2> {log}"


rule comparison_figure:
    message:
        "deq-ddim/comparison: drawings"
    input:
        [f"{path}.parquet" for path in CHAINS + CLOCKED],
    output:
        f"{RESULTS}/figures/deq-ddim/comparison/figure.json",
    log:
        f"{LOGS}/figures/deq-ddim/comparison.log",
    params:
        folder=subpath(output[0], ancestor=2),
        code=code("report"),
    localrule: True
    shell:
        "deqbench report figures deq-ddim {input} --out {params.folder} 2> {log}"
