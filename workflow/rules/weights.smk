# Where each checkpoint's weights are: trained here, in a package, or downloaded.
# The weights rules are local: they alone download, on the login node, once a checkpoint.


rule train:
    output:
        paths.trained("{model}"),
    log:
        paths.log("train", "{model}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        gpu=1,
        nodes=1,
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("train", model=w.model),
    shell:
        "convergent train --model {wildcards.model} > {log} 2>&1"


if BY_LAYER:

    rule weights:
        input:
            trained_record,
        output:
            paths.weights("{model}", "{checkpoint}"),
        log:
            paths.log("weights", "{model}", "{checkpoint}"),
        localrule: True
        conda:
            "../../envs/convergent.yaml"
        params:
            identity=lambda w: study.identity(
                "weights", model=w.model, checkpoint=w.checkpoint
            ),
        shell:
            "convergent weights --model {wildcards.model}"
            " --checkpoint {wildcards.checkpoint} > {log} 2>&1"

else:

    for unit in study.units():
        if study.weights_files(unit):

            rule:
                name:
                    f"weights_{unit.name}"
                input:
                    [paths.trained(unit.model)] if study.trains(unit.model) else [],
                output:
                    study.weights_files(unit),
                log:
                    paths.log("weights", unit.name),
                localrule: True
                conda:
                    "../../envs/convergent.yaml"
                params:
                    identity=study.unit_identity("weights", unit),
                    unit=unit.options,
                shell:
                    "convergent weights {params.unit} > {log} 2>&1"
