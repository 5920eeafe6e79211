# Noise ceilings of similarity metrics, from the subjects of a data set.

for one in graph.rules("ceilings"):

    # How well subjects predict each other.
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
            "CONVERGENT_LOG={log:q} convergent ceilings {params.options:q} > {log:q} 2>&1"
