# Noise ceilings of similarity metrics, from the subjects of a data set.


rule ceilings:
    input:
        stimuli=paths.stimuli("{dataset}"),
        responses=lambda w: [
            paths.responses(w.dataset, subject)
            for subject in study.dataset(w.dataset).subjects
        ],
    output:
        paths.ceilings("{dataset}"),
    log:
        paths.log("ceilings", "{dataset}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("ceilings", dataset=w.dataset),
    shell:
        "convergent ceilings --dataset {wildcards.dataset} > {log} 2>&1"
