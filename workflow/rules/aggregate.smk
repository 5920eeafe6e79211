# From stores to tables: model -> family -> study, so that no step reads every store.

for one in graph.rules("measure"):

    # Measurements of a model, its layers chosen, its coverage.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent measure {params.options:q} > {log:q} 2>&1"


for one in graph.rules("family"):

    # The tables of a family's models, joined.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent family {params.options:q} > {log:q} 2>&1"


for one in graph.rules("representations"):

    # Layers of vision and language models for the same stimuli (convergence).
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent representations {params.options:q} > {log:q} 2>&1"


for one in graph.rules("correlate"):

    # The tables of the study's claims.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent correlate {params.options:q} > {log:q} 2>&1"


for one in graph.rules("maps"):

    # Optional: alignment of each target of a data set's subjects, over its final models.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        threads: study.config.aggregation.threads
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent maps {params.options:q} > {log:q} 2>&1"


for one in graph.rules("cube"):

    # Optional: one data set's measurements as a labelled array.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent cube {params.options:q} > {log:q} 2>&1"
