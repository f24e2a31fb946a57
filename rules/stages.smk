"""A rule for every stage of every experiment, and for every step from records to pages."""

for step in STEPS:

    rule:
        name:
            step.rule
        message:
            step.message
        input:
            unpack(step.inputs),
        output:
            **outputs(step),
        log:
            step.log,
        wildcard_constraints:
            **step.constraints,
        params:
            words=step.words,
            code=step.code,
        threads: (workflow.cores or 1) if step.alone else LIMITS.threads
        resources:
            **RESOURCES,
        localrule: step.local
        shell:
            "deqbench --threads {threads} {params.words} 2> {log}"
