"""Decoder inversion: a job a model for errors by iteration, one that times all methods, and seconds to each level."""

SWEEP = DECODERS.sweep if DECODERS else None
SWEEP_MODELS = list(SWEEP.models) if SWEEP else []
SWEEP_TIMED = [name for name in SWEEP_MODELS if SWEEP.models[name].timed]
SWEPT = {
    "sweep": [f"{DECODING}/sweep/{model}/{file}" for model in SWEEP_MODELS for file in ("errors.csv", "traces.parquet")]
    + [
        f"{DECODING}/sweep/{model}/{file}"
        for model in SWEEP_TIMED
        for file in ("seconds.csv", "ladder.csv", "points.parquet")
    ]
}
SWEEP_SHARED = [name for name in SWEEP_MODELS if SWEEP.models[name].shared]
SWEEP_ALONE = [name for name in SWEEP_MODELS if name not in SWEEP_SHARED]


rule decoder_sweep:
    message:
        "decoder-inversion/sweep: every method on {wildcards.model}"
    input:
        autoencoders=lambda w: autoencoder(w.model),
        targets=f"{DECODING}/targets/{{model}}.safetensors",
    output:
        records=f"{DECODING}/sweep/{{model}}/errors.csv",
        traces=f"{DECODING}/sweep/{{model}}/traces.parquet",
    log:
        f"{LOGS}/decoder-inversion/sweep/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/sweep/{{model}}.tsv"
    wildcard_constraints:
        model="|".join(SWEEP_ALONE) or "none",
    params:
        settings=settings(jobs.decoder.sweep, "model"),
        autoencoders=lambda w, input: f"--autoencoder {input.autoencoders}",
        targets=lambda w, input: f"--targets {input.targets}",
        folder=subpath(output[0], ancestor=2),
        code=code("decoder"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench decoder sweep {params.autoencoders} {params.targets} --settings {params.settings:q}"
        " --threads {threads} --out {params.folder} 2> {log}"


if SWEEP_SHARED:

    use rule decoder_sweep as decoder_sweeps with:
        message:
            f"decoder-inversion/sweep: every method on {', '.join(SWEEP_SHARED)}"
        input:
            autoencoders=[autoencoder(model) for model in SWEEP_SHARED],
            targets=[f"{DECODING}/targets/{model}.safetensors" for model in SWEEP_SHARED],
        output:
            records=[f"{DECODING}/sweep/{model}/errors.csv" for model in SWEEP_SHARED],
            traces=[f"{DECODING}/sweep/{model}/traces.parquet" for model in SWEEP_SHARED],
        log:
            f"{LOGS}/decoder-inversion/sweep.log",
        benchmark:
            f"{BENCHMARKS}/decoder-inversion/sweep.tsv"
        params:
            settings=settings(jobs.decoder.sweep),
            autoencoders=lambda w, input: " ".join(f"--autoencoder {autoencoder(model)}" for model in SWEEP_SHARED),
            targets=lambda w, input: " ".join(f"--targets {file}" for file in input.targets),
            folder=subpath(output[0], ancestor=2),
            code=code("decoder"),


rule decoder_times:
    message:
        "decoder-inversion/sweep: times of every method, alone on the machine"
    input:
        autoencoders=[autoencoder(model) for model in SWEEP_TIMED],
        targets=[f"{DECODING}/targets/{model}.safetensors" for model in SWEEP_TIMED],
    output:
        f"{DECODING}/sweep/times.csv",
    log:
        f"{LOGS}/decoder-inversion/sweep/times.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/sweep/times.tsv"
    params:
        settings=settings(jobs.decoder.time_sweep),
        autoencoders=lambda w, input: " ".join(f"--autoencoder {autoencoder(model)}" for model in SWEEP_TIMED),
        targets=lambda w, input: " ".join(f"--targets {file}" for file in input.targets),
        code=code("decoder"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench decoder times {params.autoencoders} {params.targets} --settings {params.settings:q}"
        " --threads {threads} --out {output} 2> {log}"


rule decoder_ladder:
    message:
        "decoder-inversion/sweep: seconds to each level of error on {wildcards.model}"
    input:
        traces=f"{DECODING}/sweep/{{model}}/traces.parquet",
        times=f"{DECODING}/sweep/times.csv",
    output:
        records=f"{DECODING}/sweep/{{model}}/seconds.csv",
        climb=f"{DECODING}/sweep/{{model}}/ladder.csv",
        points=f"{DECODING}/sweep/{{model}}/points.parquet",
    log:
        f"{LOGS}/decoder-inversion/ladder/{{model}}.log",
    params:
        settings=settings(jobs.decoder.ladder, "model"),
        code=code("decoder"),
    localrule: True
    shell:
        "deqbench decoder ladder --settings {params.settings:q} --traces {input.traces} --times {input.times}"
        " --out {output.records} --climb {output.climb} --points {output.points} 2> {log}"
