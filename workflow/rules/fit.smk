# Ridge encoding models, one store a (data set, model, checkpoint, layer, subject).

if BY_LAYER:

    rule fit:
        input:
            features=paths.features("{dataset}", "{model}", "{checkpoint}", "{layer}"),
            nuisance=lambda w: study.nuisance_files(w.dataset),
            responses=paths.responses("{dataset}", "{subject}"),
            stimuli=paths.stimuli("{dataset}"),
        output:
            paths.alignment(
                "{dataset}", "{model}", "{checkpoint}", "{layer}", "{subject}"
            ),
        log:
            paths.log(
                "fit", "{dataset}", "{model}", "{checkpoint}", "{layer}", "{subject}"
            ),
        group:
            "layer"
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=0,
            mem_mb=lambda w, attempt: 2500 * attempt,
            runtime=lambda w, attempt: 20 * attempt,
        params:
            identity=lambda w: study.identity(
                "fit",
                dataset=w.dataset,
                model=w.model,
                checkpoint=w.checkpoint,
                layer=w.layer,
            ),
        shell:
            "convergent fit --dataset {wildcards.dataset}"
            " --model {wildcards.model} --checkpoint {wildcards.checkpoint}"
            " --layer {wildcards.layer} --subject {wildcards.subject} > {log} 2>&1"

else:

    for unit in study.units():

        rule:
            name:
                f"fit_{unit.name}"
            input:
                features=study.feature_files(unit),
                nuisance=[
                    path
                    for dataset in study.datasets_of(unit.model)
                    for path in study.nuisance_files(dataset)
                ],
                responses=[
                    paths.responses(dataset, subject)
                    for dataset in study.datasets_of(unit.model)
                    for subject in study.dataset(dataset).subjects
                ],
                stimuli=[paths.stimuli(d) for d in study.datasets_of(unit.model)],
            output:
                study.alignment_files(unit),
            log:
                paths.log("fit", unit.name),
            conda:
                "../../envs/convergent.yaml"
            resources:
                gpu=0,
                mem_mb=lambda w, attempt: 4000 * attempt,
                runtime=lambda w, attempt: 60 * attempt,
            params:
                identity=study.unit_identity("fit", unit),
                unit=unit.options,
            shell:
                "convergent fit {params.unit} > {log} 2>&1"
