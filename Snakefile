# Convergent: alignment between AI models and the human brain.
#
#   snakemake -n                                          plan config/demo.yaml
#   snakemake --profile slurm                             run it on a cluster
#   snakemake --configfile config/alice.yaml              another study
#   snakemake results/demo/families/vit.parquet           one model family
#
# What is computed is in config/ (a study), how it is run in profiles/.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

if "study" not in config:

    configfile: str(Path(workflow.basedir) / "config" / "demo.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/ceilings.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    families,


# The default target: the whole study, up to its report.
rule all:
    default_target: True
    input:
        paths.report,


# Every family's measurements, without the study-wide statistics.
rule families:
    input:
        [paths.family(name) for name in study.families],


# CONVERGENT_MAIL=me@site: one mail when all is over, sent by SLURM.
onsuccess:
    tell_the_end(log, succeeded=True)


onerror:
    tell_the_end(log, succeeded=False)
