# What a person reads: figures and one self-contained page.


rule report:
    input:
        [paths.table(name) for name in study.tables()],
    output:
        figures=directory(paths.figures),
        page=report(paths.report, caption="../report/report.rst", category="Study"),
    log:
        paths.log("report"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=study.identity("report"),
    shell:
        "convergent report > {log} 2>&1"
