# Performance measured here, beside the published scores.

for one in graph.rules("evaluate"):

    # Scores of a model's checkpoints.
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
            nodes=1,  # its GPUs
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent evaluate {params.options:q} > {log:q} 2>&1"
