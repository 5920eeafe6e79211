# Convergent: alignment between AI models and the human brain.
#
#   snakemake -n                                          plan config/demo.yaml
#   snakemake --profile slurm                             run it on a cluster
#   snakemake --configfile config/alice.yaml              another study
#   snakemake results/demo/families/vit.parquet           one model family
#
# What is computed is in config/ (a study), how it is run in profiles/.


include: "workflow/Snakefile"


# Snakemake takes no default target from an included file.
if not workflow.default_target and workflow.modifier.avail_rulename("all"):
    workflow.default_target = workflow.modifier.modify_rulename("all")
