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


# A job each for what is downloaded or copied from elsewhere; the zoo's take less time than a job to start.
SHIPPED = [name for name, network in CONFIG.networks.items() if network.source == "zoo"]
FETCHED = [name for name in CONFIG.networks if name not in SHIPPED]


rule network:
    message:
        "network {wildcards.network}"
    output:
        directory(f"{RESULTS}/networks/{{network}}"),
    log:
        f"{LOGS}/networks/{{network}}.log",
    benchmark:
        f"{BENCHMARKS}/networks/{{network}}.tsv"
    wildcard_constraints:
        network="|".join(FETCHED) or "none",
    params:
        settings=settings(jobs.network, "network"),
        code=code("checkpoint"),
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
    shell:
        "deqbench checkpoint fetch {wildcards.network} --settings {params.settings:q} --out {output} 2> {log}"


if SHIPPED:

    rule networks:
        message:
            f"networks {', '.join(SHIPPED)}"
        output:
            [directory(f"{RESULTS}/networks/{name}") for name in SHIPPED],
        log:
            f"{LOGS}/networks.log",
        benchmark:
            f"{BENCHMARKS}/networks.tsv"
        params:
            given=lambda w, output: " ".join(
                f"{name} --settings {shlex.quote(jobs.network(CONFIG, name).model_dump_json())} --out {folder}"
                for name, folder in zip(SHIPPED, output)
            ),
            code=code("checkpoint"),
        resources:
            runtime=LIMITS.runtime,
            mem_mb=LIMITS.mem_mb,
        shell:
            "deqbench checkpoint fetch {params.given} 2> {log}"
