"""Families of vision models: one lineage of architecture and recipe, resampled together."""

from __future__ import annotations

import re

# The first pattern that fits the start of an architecture's name gives its family; without
# one, the file of timm that defines the architecture does.
_TIMM = (
    (r"vit\w*_(clip|siglip|mci)_|beit3_", "vit-clip"),
    (r"(test_)?(vit|flexivit)", "vit"),
    (r"naflexvit", "vit"),
    (r"eva02_", "eva02"),
    (r"eva_", "eva"),
    (r"deit3_", "deit3"),
    (r"deit_", "deit"),
    (r"(test_)?convnextv2_", "convnextv2"),
    (r"(test_)?convnext", "convnext"),
    (r"swinv2_", "swinv2"),
    (r"swin_", "swin"),
    (r"regnet[vxyz]|haloregnetz", "regnet"),
    (r"(legacy_|eca_|halo|lambda_|lamhalo)?(ca)?(se)?\w*resnext|bat_resnext|\w*botnext", "resnext"),
    (r"resnetv2_\w+_bit", "bit"),
    (r"resnetv2_", "resnetv2"),
    (r"nf_|\w*nfnet", "nfnet"),
    (r"(test_)?(legacy_|eca_|gc|se|eca|wide_)?resnet", "resnet"),
    (r"(gc_|tf_)?efficientnetv2_", "efficientnetv2"),
    (r"(test_|tf_)?efficientnet_", "efficientnet"),
    (r"(tf_)?mobilenet_?(v\d|edgetpu)", "mobilenet"),
    (r"fbnet", "fbnet"),
    (r"lcnet", "lcnet"),
    (r"(tf_)?mixnet", "mixnet"),
    (r"(se)?mnasnet|spnasnet", "mnasnet"),
    (r"tinynet", "tinynet"),
    (r"repvgg", "repvgg"),
    (r"mobileone", "mobileone"),
    (r"gernet", "gernet"),
    (r"caformer|convformer", "caformer"),
    (r"poolformer", "poolformer"),
    (r"maxx?vit", "maxvit"),
    (r"coatn[ee]xt|coatnet", "coatnet"),
    (r"resmlp", "resmlp"),
    (r"gmlp", "gmlp"),
    (r"g?mixer", "mlp-mixer"),
    (r"\w*darknet|cs3\w*edgenet", "darknet"),
    (r"mobilevitv2", "mobilevitv2"),
    (r"hgnetv2", "hgnetv2"),
    (r"senet154|legacy_senet154", "senet"),
)  # fmt: skip

# open_clip: what the images and texts were, which says more than the architecture.
_OPEN_CLIP = (
    (r"EVA\d+-", "eva-clip"),
    (r"ViT-\w+-\d+-CLIPA|.*-CLIPA", "clipa"),
    (r".*SigLIP", "siglip"),
    (r"coca_", "coca"),
    (r"convnext", "clip-convnext"),
)
_PRETRAINED = (
    (r"openai", "clip-openai"),
    (r"laion", "clip-laion"),
    (r"datacomp|commonpool", "clip-datacomp"),
    (r"dfn", "clip-dfn"),
    (r"metaclip", "clip-metaclip"),
    (r"yfcc|cc12m", "clip-yfcc-cc12m"),
)


def timm_family(architecture: str, module: str) -> str:
    """Family of a timm architecture.

    Parameters
    ----------
    architecture : str
        Name without tag.
    module : str
        File of timm that defines it.
    """
    for pattern, family in _TIMM:
        if re.match(pattern, architecture):
            return family
    return module.replace("_", "-")


def open_clip_family(architecture: str, pretrained: str) -> str:
    """Family of a pair of open_clip; `clip` if neither part is known."""
    for pattern, family in _OPEN_CLIP:
        if re.match(pattern, architecture):
            return family
    for pattern, family in _PRETRAINED:
        if re.search(pattern, pretrained):
            return family
    return "clip"
