"""Studies of encoder after decoder: cocoercivity, theorems, precision; memory, frames."""

from deqbench.jobs.decoder import studies as codec

CODED = {  # experiment -> files of records
    experiment: [f"{DECODING}/{path}" for path in paths] for experiment, paths in codec.records(DECODERS).items()
}
STUDY_FILES = [f"{DECODING}/{path}" for path in codec.study_files(DECODERS, "{model}")]
BYTES_FILES = [f"{DECODING}/{path}" for path in codec.bytes_files(DECODERS, "{model}")]


if STUDY_FILES:

    rule codec_study:
        message:
            "decoder-inversion: cocoercivity, theorems and precision on {wildcards.model}"
        input:
            autoencoder=lambda w: autoencoder(w.model),
            targets=f"{DECODING}/targets/{{model}}.safetensors",
        output:
            STUDY_FILES,
        log:
            f"{LOGS}/decoder-inversion/codec/{{model}}.log",
        benchmark:
            f"{BENCHMARKS}/decoder-inversion/codec/{{model}}.tsv"
        params:
            settings=settings(jobs.decoder.codec_study, "model"),
            folder=subpath(output[0], ancestor=3),
            code=code("codec"),
        threads: LIMITS.threads
        resources:
            runtime=LIMITS.runtime,
            mem_mb=LIMITS.mem_mb,
            gpu=LIMITS.gpu,
        shell:
            "deqbench codec study --settings {params.settings:q} --autoencoder {input.autoencoder}"
            " --targets {input.targets} --threads {threads} --out {params.folder} 2> {log}"


if BYTES_FILES:

    rule codec_memory:
        message:
            "decoder-inversion: bytes and frames of {wildcards.model}"
        input:
            lambda w: autoencoder(w.model),
        output:
            BYTES_FILES,
        log:
            f"{LOGS}/decoder-inversion/memory/{{model}}.log",
        benchmark:
            f"{BENCHMARKS}/decoder-inversion/memory/{{model}}.tsv"
        params:
            settings=settings(jobs.decoder.codec_bytes, "model"),
            folder=subpath(output[0], ancestor=2),
            code=code("codec"),
        threads: LIMITS.threads
        resources:
            runtime=LIMITS.runtime,
            mem_mb=LIMITS.mem_mb,
            gpu=LIMITS.gpu,
        shell:
            "deqbench codec memory --settings {params.settings:q} --autoencoder {input}"
            " --threads {threads} --out {params.folder} 2> {log}"
