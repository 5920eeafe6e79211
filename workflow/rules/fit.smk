# Encoding models and similarities: one store per (data set, model, checkpoint, layer, subject).
#
# Snakemake removes a job's stores before it runs. The command keeps a hard link to each, and takes
# from it the metrics that are still valid.

for one in graph.rules("fit"):

    # One job per layer, or (fit_granularity) per subject, or (granularity) per checkpoint or model.
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
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent fit {params.options:q} > {log:q} 2>&1"
