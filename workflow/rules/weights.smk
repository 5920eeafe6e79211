# Where each checkpoint's weights are: trained here, in a package, or downloaded.
# The weights rules are local: they alone download, on the login node, once per checkpoint.

for one in graph.rules("train"):

    # Train a model of the study.
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
            "CONVERGENT_LOG={log:q} convergent train {params.options:q} > {log:q} 2>&1"


for one in graph.rules("weights"):

    # Find or download weights, and record their hash.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        localrule: True
        conda:
            "../../envs/convergent.yaml"
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent weights {params.options:q} > {log:q} 2>&1"
