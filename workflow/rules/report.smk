# What a person reads: figures and one self-contained page.


rule report:
    input:
        [paths.table(name) for name in study.tables()],
    output:
        report(paths.report, caption="../report/report.rst", category="Study"),
    params:
        identity=study.identity("report"),
    log:
        f"{paths.root}/logs/report.log",
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    shell:
        "convergent report {STUDY} > {log} 2>&1"
