# Stimuli and brain responses, read once from their original files.


rule stimuli:
    output:
        paths.stimuli("{dataset}"),
    params:
        identity=lambda w: study.identity("stimuli", dataset=w.dataset),
    log:
        f"{paths.root}/logs/stimuli/{{dataset}}.log",
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 30 * attempt,
    shell:
        "convergent stimuli {STUDY} --dataset {wildcards.dataset} > {log} 2>&1"


rule responses:
    input:
        stimuli=paths.stimuli("{dataset}"),
    output:
        paths.responses("{dataset}", "{subject}"),
    params:
        identity=lambda w: study.identity("responses", dataset=w.dataset),
    log:
        f"{paths.root}/logs/responses/{{dataset}}/{{subject}}.log",
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "convergent responses {STUDY} --dataset {wildcards.dataset}"
        " --subject {wildcards.subject} > {log} 2>&1"
