"""Every stage of every experiment, a rule each: deqbench/experiments/<paper>/<kind>/job.py says what it makes of what."""

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
            stage=step.id,
            settings=step.settings,
            files=step.files,
            code=step.code,
        threads: workflow.cores if step.stage.alone else LIMITS.threads
        resources:
            **RESOURCES,
        localrule: step.stage.local
        shell:
            "deqbench run {params.stage} {params.files} --settings {params.settings:q} --threads {threads} 2> {log}"
