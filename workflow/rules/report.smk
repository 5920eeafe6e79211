# What a person reads: figures and one self-contained page.

for one in graph.rules("report"):

    # The report, and its figures with their data.
    rule:
        name:
            one.name
        input:
            unpack(one.inputs),
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
            one.log,
        conda:
            "../../envs/convergent.yaml"
        resources:
            gpu=one.gpu,
            mem_mb=one.mem_mb,
            runtime=one.runtime,
        params:
            options=one.options,
            identity=identity(one),
        shell:
            "CONVERGENT_LOG={log:q} convergent report {params.options:q} > {log:q} 2>&1"
