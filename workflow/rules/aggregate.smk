# From stores to tables: model -> family -> study, so that no step reads every store.


rule measure:
    input:
        lambda w: study.alignment_files(Unit(w.model)),
    output:
        paths.model("{model}"),
        paths.model("{model}", "alignment"),
        paths.model("{model}", "coverage"),
        paths.model("{model}", "resampled"),
    log:
        paths.log("measure", "{model}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    params:
        identity=lambda w: study.identity("measure", model=w.model),
    shell:
        "convergent measure --model {wildcards.model} > {log} 2>&1"


rule family:
    input:
        lambda w: [
            paths.model(model, table)
            for model in study.family(w.family)
            for table in ("measurements", "alignment", "coverage", "resampled")
        ],
    output:
        paths.family("{family}"),
        paths.family("{family}", "alignment"),
        paths.family("{family}", "coverage"),
        paths.family("{family}", "resampled"),
    log:
        paths.log("family", "{family}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    shell:
        "convergent family --family {wildcards.family} > {log} 2>&1"


rule correlate:
    input:
        families=[
            paths.family(family, table)
            for family in study.families
            for table in ("measurements", "alignment", "coverage", "resampled")
        ],
        performance=[paths.performance(model) for model in study.evaluated_models()],
        ceilings=[paths.ceilings(dataset) for dataset in study.config.datasets],
        representations=[paths.representations] if study.config.convergence else [],
    output:
        [paths.table(name) for name in study.tables()],
        paths.about,
    log:
        paths.log("correlate"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("correlate"),
    shell:
        "convergent correlate > {log} 2>&1"


# Alignment of each target of a data set's subjects, over its final models. Asked for by name.
rule maps:
    input:
        lambda w: final_scores(study, w.dataset),
    output:
        paths.maps("{dataset}"),
    log:
        paths.log("maps", "{dataset}"),
    conda:
        "../../envs/convergent.yaml"
    threads: study.config.aggregation.threads
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("maps", dataset=w.dataset),
    shell:
        "convergent maps --dataset {wildcards.dataset} > {log} 2>&1"


# One data set's measurements as a labelled array. No other rule needs it: ask for it by name.
rule cube:
    input:
        [paths.family(family) for family in study.families],
    output:
        paths.cube("{dataset}"),
    log:
        paths.log("cube", "{dataset}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "convergent cube --dataset {wildcards.dataset} > {log} 2>&1"


if study.config.convergence:

    # Layers of vision and language models for the same stimuli.
    rule representations:
        input:
            converging_files(study),
        output:
            paths.representations,
        log:
            paths.log("representations"),
        conda:
            "../../envs/convergent.yaml"
        resources:
            mem_mb=lambda w, attempt: 8000 * attempt,
            runtime=lambda w, attempt: 60 * attempt,
        params:
            identity=study.identity("representations"),
        shell:
            "convergent representations > {log} 2>&1"
