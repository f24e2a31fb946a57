"""The targets that decoders are inverted for, watermarks and edits."""

TARGETS = [f"{DECODING}/targets/{name}.safetensors" for name in (DECODERS.models if DECODERS else ())]


rule latents_targets:
    message:
        "decoder-inversion: latents and images of all models"
    input:
        once({name: networks_named(name).values() for name in (DECODERS.models if DECODERS else ())}),
    output:
        TARGETS,
    log:
        f"{LOGS}/decoder-inversion/targets.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/targets.tsv"
    params:
        settings=settings(jobs.decoder.make_targets),
        networks=lambda w, input: " ".join(f"--network {folder}" for folder in input),
        folder=subpath(output[0], parent=True),
        code=code("latents"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench latents targets {params.networks} --settings {params.settings:q} --threads {threads}"
        " --out {params.folder} 2> {log}"


WATERMARKED = DECODERS.watermark.models if DECODERS and DECODERS.watermark else {}
EDITED = DECODERS.editing.models if DECODERS and DECODERS.editing else {}
MARKS_TIMED = [name for name, found in WATERMARKED.items() if found.timed]
MARKED = {  # experiment -> files of records
    "watermark": [f"{DECODING}/watermark/{name}{ending}" for name in WATERMARKED for ending in (".csv", ".safetensors")]
    + [f"{DECODING}/watermark/times.csv"] * bool(MARKS_TIMED),
    "watermark-guidance": [f"{DECODING}/watermark-guidance/{name}.csv" for name in WATERMARKED],
    "editing": [f"{DECODING}/editing/{name}{ending}" for name in EDITED for ending in (".csv", ".safetensors")],
}


rule latents_watermark:
    message:
        "decoder-inversion/watermark: tree-ring keys of {wildcards.model}"
    input:
        unpack(networks_of),
    output:
        records=f"{DECODING}/watermark/{{model}}.csv",
        study=f"{DECODING}/watermark-guidance/{{model}}.csv",
        pictures=f"{DECODING}/watermark/{{model}}.safetensors",
    log:
        f"{LOGS}/decoder-inversion/watermark/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/watermark/{{model}}.tsv"
    wildcard_constraints:
        model="|".join(WATERMARKED) or "none",
    params:
        settings=settings(jobs.decoder.mark, "model"),
        networks=networks_given,
        code=code("latents"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench latents watermark {params.networks} --settings {params.settings:q} --threads {threads}"
        " --out {output.records} --study {output.study} --pictures {output.pictures} 2> {log}"


rule latents_time:
    message:
        "decoder-inversion/watermark: times of inversions, alone on the machine"
    input:
        lambda w: once({name: networks_named(name).values() for name in MARKS_TIMED}),
    output:
        f"{DECODING}/watermark/times.csv",
    log:
        f"{LOGS}/decoder-inversion/watermark/times.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/watermark/times.tsv"
    params:
        settings=settings(jobs.decoder.time_marks),
        networks=lambda w, input: " ".join(f"--network {folder}" for folder in input),
        code=code("latents"),
    threads: workflow.cores or 1
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench latents time {params.networks} --settings {params.settings:q} --threads {threads}"
        " --out {output} 2> {log}"


rule latents_edit:
    message:
        "decoder-inversion/editing: edits of {wildcards.model}"
    input:
        unpack(networks_of),
    output:
        records=f"{DECODING}/editing/{{model}}.csv",
        pictures=f"{DECODING}/editing/{{model}}.safetensors",
    log:
        f"{LOGS}/decoder-inversion/editing/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/decoder-inversion/editing/{{model}}.tsv"
    params:
        settings=settings(jobs.decoder.edit, "model"),
        networks=networks_given,
        code=code("latents"),
    threads: LIMITS.threads
    resources:
        runtime=LIMITS.runtime,
        mem_mb=LIMITS.mem_mb,
        gpu=LIMITS.gpu,
    shell:
        "deqbench latents edit {params.networks} --settings {params.settings:q} --threads {threads}"
        " --out {output.records} --pictures {output.pictures} 2> {log}"
