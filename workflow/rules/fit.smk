# Encoding models and similarities, one store a (data set, model, checkpoint, layer, subject).
#
# Snakemake removes a job's stores before it runs. The command keeps a hard link to each, and takes
# from it the metrics that are still valid.

if not BY_LAYER:

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
                    path
                    for dataset in study.datasets_of(unit.model)
                    for path in study.responses_files(dataset)
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

elif study.config.fit_granularity == "layer":

    # a rule a data set, because subjects differ and outputs cannot depend on a wildcard
    for dataset in study.config.datasets:

        rule:
            name:
                f"fit_{dataset}"
            input:
                features=paths.features(dataset, "{model}", "{checkpoint}", "{layer}"),
                nuisance=study.nuisance_files(dataset),
                responses=study.responses_files(dataset),
                stimuli=paths.stimuli(dataset),
            output:
                [
                    paths.alignment(
                        dataset, "{model}", "{checkpoint}", "{layer}", subject
                    )
                    for subject in study.dataset(dataset).subjects
                ],
            log:
                paths.log("fit", dataset, "{model}", "{checkpoint}", "{layer}"),
            group:
                f"{dataset}.{{model}}.{{checkpoint}}.{{layer}}"
            conda:
                "../../envs/convergent.yaml"
            resources:
                gpu=0,
                mem_mb=lambda w, attempt: 4000 * attempt,
                runtime=lambda w, attempt, dataset=dataset: resources.fit_minutes(
                    study, dataset, attempt
                ),
            params:
                dataset=dataset,
                identity=lambda w, dataset=dataset: study.identity(
                    "fit", dataset=dataset, **w
                ),
            shell:
                "convergent fit --dataset {params.dataset}"
                " --model {wildcards.model} --checkpoint {wildcards.checkpoint}"
                " --layer {wildcards.layer} > {log} 2>&1"

else:

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
            "{dataset}.{model}.{checkpoint}.{layer}"
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
