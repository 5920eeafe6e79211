# What a person reads: figures and one self-contained page.


rule report:
    input:
        [paths.table(name) for name in study.tables()],
    output:
        figures=report(
            directory(paths.figures),
            patterns=["{name,[^.]+}.{kind,svg|tsv}"],
            caption="../report/figure.rst",
            category="Figures and their data",
            labels={"name": "{name}", "kind": "{kind}"},
        ),
        page=report(
            paths.report,
            caption="../report/report.rst",
            category="Study",
            labels={"name": "answers", "kind": "page"},
        ),
    log:
        paths.log("report"),
    conda:
        "../../envs/convergent.yaml"
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        identity=lambda w: study.identity("report"),
    shell:
        "convergent report > {log} 2>&1"
