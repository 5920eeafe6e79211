"""The 22 sections of the HCP-MMP1 parcellation and their areas."""

from __future__ import annotations

# As grouped in the supplementary neuroanatomical results of Glasser et al. (2016), Nature 536,
# 171-178; the first three of its sections are named here after what they hold.
SECTIONS: dict[str, str] = {
    "primary visual": "V1",
    "early visual": "V2 V3 V4",
    "dorsal visual": "V3A V7 V3B V6 V6A IPS1",
    "ventral visual": "V8 FFC PIT VMV1 VMV2 VMV3 VVC",
    "lateral visual": "MST LO1 LO2 MT PH V4t FST V3CD LO3",
    "somatosensory and motor": "4 3b 1 2 3a",
    "paracentral and mid-cingulate": "5m 5mv 23c 5L 24dd 24dv SCEF 6ma 6mp",
    "premotor": "FEF PEF 55b 6d 6v 6r 6a",
    "posterior opercular": "43 OP4 OP1 OP2-3 FOP1 PFcm",
    "early auditory": "A1 LBelt MBelt PBelt RI",
    "auditory association": "A4 A5 STSdp STSda STSvp STSva STGa TA2",
    "insular and frontal opercular": "52 PI Ig PoI1 PoI2 FOP2 FOP3 MI AVI AAIC Pir FOP4 FOP5",
    "medial temporal": "H PreS EC PeEc PHA1 PHA2 PHA3",
    "lateral temporal": "PHT TE1p TE1m TE1a TE2p TE2a TGv TGd TF",
    "temporo-parieto-occipital": "PSL STV TPOJ1 TPOJ2 TPOJ3",
    "superior parietal": "LIPv LIPd VIP AIP MIP 7PC 7AL 7Am 7PL 7Pm",
    "inferior parietal": "PGp PGs PGi PFm PF PFt PFop IP0 IP1 IP2",
    "posterior cingulate": "DVT ProS POS1 POS2 RSC v23ab d23ab 31pv 31pd 31a 23d PCV 7m",
    "anterior cingulate and medial prefrontal": (
        "33pr p24pr a24pr p24 a24 p32pr a32pr d32 p32 s32 8BM 9m 10v 10r 25"
    ),
    "orbital and polar frontal": "47s 47m a47r 11l 13l a10p p10p 10pp 10d OFC pOFC",
    "inferior frontal": "44 45 IFJp IFJa IFSp IFSa 47l p47r",
    "dorsolateral prefrontal": "8C 8Av i6-8 s6-8 SFL 8BL 9p 9a 8Ad p9-46v a9-46v 46 9-46d",
}

# Cortex that the senses and the movements reach first: V1, A1, and areas 3b and 4.
PRIMARY = ("V1", "A1", "3b", "4")


def section_of() -> dict[str, str]:
    """Section of each area."""
    return {area: section for section, areas in SECTIONS.items() for area in areas.split()}
