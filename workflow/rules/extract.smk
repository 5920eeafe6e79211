# Activations of the stimuli, one store a (data set, model, checkpoint, layer).

if BY_LAYER:

    rule extract:
        input:
            stimuli=paths.stimuli("{dataset}"),
            weights=lambda w: study.weights_files(unit_of(w)),
        output:
            paths.features("{dataset}", "{model}", "{checkpoint}", "{layer}"),
        log:
            paths.log("extract", "{dataset}", "{model}", "{checkpoint}", "{layer}"),
        group:
            "{dataset}.{model}.{checkpoint}.{layer}"
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=lambda w: resources.gpus(study, unit_of(w)),
            nodes=1,
            mem_mb=lambda w, attempt: resources.extract_mb(study, unit_of(w), attempt),
            runtime=lambda w, attempt: resources.extract_minutes(
                study, unit_of(w), attempt, w.dataset
            ),
        params:
            identity=lambda w: study.identity("extract", **w),
        shell:
            "convergent extract --dataset {wildcards.dataset}"
            " --model {wildcards.model} --checkpoint {wildcards.checkpoint}"
            " --layer {wildcards.layer} > {log} 2>&1"

else:

    for unit in study.units():

        rule:
            name:
                f"extract_{unit.name}"
            input:
                stimuli=[paths.stimuli(d) for d in study.datasets_of(unit.model)],
                weights=study.weights_files(unit),
            output:
                study.feature_files(unit),
            log:
                paths.log("extract", unit.name),
            conda:
                "../../envs/convergent.yaml"
            resources:
                gpu=resources.gpus(study, unit),
                nodes=1,
                mem_mb=lambda w, attempt, unit=unit: resources.extract_mb(
                    study, unit, attempt
                ),
                runtime=lambda w, attempt, unit=unit: resources.extract_minutes(
                    study, unit, attempt
                ),
            params:
                identity=study.unit_identity("extract", unit),
                unit=unit.options,
            shell:
                "convergent extract {params.unit} > {log} 2>&1"
