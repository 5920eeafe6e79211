# Stimuli and brain responses, read once from their original files.

for one in graph.rules("stimuli"):

    # What people saw or heard, of a data set.
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
            "CONVERGENT_LOG={log:q} convergent stimuli {params.options:q} > {log:q} 2>&1"


for one in graph.rules("responses"):

    # What one subject's brain did.
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
            "CONVERGENT_LOG={log:q} convergent responses {params.options:q} > {log:q} 2>&1"
