"""DEQ-DDIM inversion: a job for each experiment, data set and T, one that times them, and loss against seconds."""

from deqbench.config.inversion import INVERTED

INVERSIONS = {
    name: [f"{SAMPLING}/{name}/{dataset}/{T}" for dataset, chains in section.datasets.items() for T in chains]
    for name, section in PAPER.sections(*INVERTED).items()
}
INVERTED_TIMED = {  # data sets by experiment
    name: [dataset for dataset, chains in section.datasets.items() if any(share.timed for share in chains.values())]
    for name, section in PAPER.sections(*INVERTED).items()
}
INVERSION = {
    name: [f"{path}{ending}" for path in paths for ending in (".csv", ".parquet", ".safetensors")]
    + [
        f"{SAMPLING}/{name}/{kind}{ending}"
        for kind in ("times", "race") * bool(INVERTED_TIMED[name])
        for ending in (".csv", ".parquet")
    ]
    for name, paths in INVERSIONS.items()
}


INVERTED_SHARED = [  # (experiment, data set, T)
    (name, dataset, T)
    for name, section in PAPER.sections(*INVERTED).items()
    for dataset, chains in section.datasets.items()
    for T, share in chains.items()
    if share.shared
]
INVERTED_FROM = sorted({dataset for _, dataset, _ in INVERTED_SHARED})


rule inversion_run:
    message:
        "deq-ddim/{wildcards.experiment}: inversions on {wildcards.dataset}, T = {wildcards.T}"
    input:
        weights=f"{RESULTS}/checkpoints/{{dataset}}",
        datasets=f"{RESULTS}/datasets/{{dataset}}.safetensors",
    output:
        inverted_files("{experiment}", "{dataset}", "{T}"),
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/{{dataset}}/{{T}}.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/{{dataset}}/{{T}}.tsv"
    wildcard_constraints:
        experiment="|".join(INVERTED),
    params:
        settings=lambda w: inverted_settings([(w.experiment, w.dataset, w.T)]),
        weights=lambda w, input: f"--weights {input.weights}",
        datasets=lambda w, input: f"--dataset {input.datasets}",
        folder=subpath(output[0], ancestor=3),
        code=code("inversion"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench inversion run {params.settings} {params.weights} {params.datasets} --threads {threads}"
        " --out {params.folder} 2> {log}"


if INVERTED_SHARED:

    use rule inversion_run as inversion_runs with:
        message:
            "deq-ddim: inversions of " + ", ".join(sorted({name for name, *_ in INVERTED_SHARED}))
        input:
            weights=[f"{RESULTS}/checkpoints/{name}" for name in INVERTED_FROM],
            datasets=[f"{RESULTS}/datasets/{name}.safetensors" for name in INVERTED_FROM],
        output:
            [path for place in INVERTED_SHARED for path in inverted_files(*place)],
        log:
            f"{LOGS}/deq-ddim/inversions.log",
        benchmark:
            f"{BENCHMARKS}/deq-ddim/inversions.tsv"
        params:
            settings=inverted_settings(INVERTED_SHARED),
            weights=lambda w, input: " ".join(f"--weights {folder}" for folder in input.weights),
            datasets=lambda w, input: " ".join(f"--dataset {file}" for file in input.datasets),
            folder=subpath(output[0], ancestor=3),
            code=code("inversion"),

    ruleorder: inversion_runs > inversion_run


rule inversion_times:
    message:
        "deq-ddim/{wildcards.experiment}: times of inversions, alone on the machine"
    input:
        weights=lambda w: [f"{RESULTS}/checkpoints/{name}" for name in INVERTED_TIMED[w.experiment]],
        datasets=lambda w: [f"{RESULTS}/datasets/{name}.safetensors" for name in INVERTED_TIMED[w.experiment]],
    output:
        records=f"{SAMPLING}/{{experiment}}/times.csv",
        traces=f"{SAMPLING}/{{experiment}}/times.parquet",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/times.log",
    benchmark:
        f"{BENCHMARKS}/deq-ddim/{{experiment}}/times.tsv"
    wildcard_constraints:
        experiment="|".join(INVERTED),
    params:
        settings=settings(jobs.time_inversions, "experiment"),
        weights=lambda w, input: " ".join(f"--weights {folder}" for folder in input.weights),
        datasets=lambda w, input: " ".join(f"--dataset {file}" for file in input.datasets),
        code=code("inversion"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench inversion time {params.weights} {params.datasets} --settings {params.settings:q}"
        " --threads {threads} --out {output.records} --traces {output.traces} 2> {log}"


rule inversion_race:
    message:
        "deq-ddim/{wildcards.experiment}: loss against seconds"
    input:
        records=lambda w: [f"{path}{ending}" for path in INVERSIONS[w.experiment] for ending in (".csv", ".parquet")],
        times=f"{SAMPLING}/{{experiment}}/times.csv",
        steps=f"{SAMPLING}/{{experiment}}/times.parquet",
    output:
        records=f"{SAMPLING}/{{experiment}}/race.csv",
        traces=f"{SAMPLING}/{{experiment}}/race.parquet",
    log:
        f"{LOGS}/deq-ddim/{{experiment}}/race.log",
    wildcard_constraints:
        experiment="|".join(INVERTED),
    params:
        settings=settings(jobs.race, "experiment"),
        code=code("inversion"),
    localrule: True
    shell:
        "deqbench inversion race {input.records} --settings {params.settings:q} --times {input.times}"
        " --steps {input.steps} --out {output.records} --traces {output.traces} 2> {log}"
