# Where each checkpoint's weights are: trained here, in a package, or downloaded.


# Downloads happen here and nowhere else: on the login node, once a checkpoint.
localrules:
    weights,


rule train:
    output:
        paths.trained("{model}"),
    params:
        identity=lambda w: study.identity("train", model=w.model),
    log:
        f"{paths.root}/logs/train/{{model}}.log",
    resources:
        gpu=1,
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "convergent train {STUDY} --model {wildcards.model} > {log} 2>&1"


def trained_record(wildcards):
    return [paths.trained(wildcards.model)] if study.trains(wildcards.model) else []


if BY_LAYER:

    rule weights:
        input:
            trained_record,
        output:
            paths.weights("{model}", "{checkpoint}"),
        params:
            identity=lambda w: study.identity(
                "weights", model=w.model, checkpoint=w.checkpoint
            ),
        log:
            f"{paths.root}/logs/weights/{{model}}/{{checkpoint}}.log",
        shell:
            "convergent weights {STUDY} --model {wildcards.model}"
            " --checkpoint {wildcards.checkpoint} > {log} 2>&1"

else:

    for unit in study.units():
        if study.weights_files(unit):

            rule:
                name:
                    f"weights_{unit_name(unit)}"
                localrule: True
                input:
                    [paths.trained(unit.model)] if study.trains(unit.model) else [],
                output:
                    study.weights_files(unit),
                params:
                    identity=study.unit_identity("weights", unit),
                    unit=unit_options(unit),
                log:
                    unit_log("weights", unit),
                shell:
                    "convergent weights {STUDY} {params.unit} > {log} 2>&1"
