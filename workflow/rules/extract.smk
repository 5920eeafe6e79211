# Activations of the stimuli: one store per (data set, model, checkpoint, layer).

for one in graph.rules("extract"):

    # One job per layer, or (granularity) per checkpoint or model: the same stores.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
        output:
            one.output,
        log:
            one.log,
        group:
            one.group
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
            "CONVERGENT_LOG={log:q} convergent extract {params.options:q} > {log:q} 2>&1"
