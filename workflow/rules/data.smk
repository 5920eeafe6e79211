# Stimuli and brain responses, read once from their original files.


rule stimuli:
    output:
        paths.stimuli("{dataset}"),
    log:
        paths.log("stimuli", "{dataset}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    params:
        identity=lambda w: study.identity("stimuli", dataset=w.dataset),
    shell:
        "convergent stimuli --dataset {wildcards.dataset} > {log} 2>&1"


rule responses:
    input:
        stimuli=paths.stimuli("{dataset}"),
    output:
        paths.responses("{dataset}", "{subject}"),
    log:
        paths.log("responses", "{dataset}", "{subject}"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("responses", dataset=w.dataset),
    shell:
        "convergent responses --dataset {wildcards.dataset}"
        " --subject {wildcards.subject} > {log} 2>&1"
