# Performance measured here, beside the published scores.


rule evaluate:
    input:
        stimuli=lambda w: [paths.stimuli(d) for d in study.datasets_of(w.model)],
        weights=lambda w: study.weights_files(Unit(w.model)),
        files=study.performance_files(),
    output:
        paths.performance("{model}"),
    log:
        paths.log("evaluate", "{model}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        gpu=lambda w: resources.gpus(study, Unit(w.model)),
        nodes=1,
        mem_mb=lambda w, attempt: resources.extract_mb(study, Unit(w.model), attempt),
        runtime=lambda w, attempt: resources.extract_minutes(
            study, Unit(w.model), attempt
        ),
    params:
        identity=lambda w: study.identity("evaluate", model=w.model),
    shell:
        "convergent evaluate --model {wildcards.model} > {log} 2>&1"
