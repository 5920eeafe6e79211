"""The directory of the data set: which files there are, and what is said where one is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from convergent.brains.custom.arrays import open_image as open_image  # read like all images
from convergent.errors import ConfigError, DataError

# Sessions that each subject completed.
SESSIONS = {
    "subj01": 40,
    "subj02": 40,
    "subj03": 32,
    "subj04": 30,
    "subj05": 40,
    "subj06": 32,
    "subj07": 40,
    "subj08": 30,
}
SUBJECTS = tuple(SESSIONS)
WEBSITE = "https://naturalscenesdataset.org"
CITATION = (
    "Allen, St-Yves, Wu, Breedlove, Prince, Dowdle, Nau, Caron, Pestilli, Charest, Hutchinson, "
    "Naselaris & Kay (2022). A massive 7T fMRI dataset to bridge cognitive neuroscience and "
    "artificial intelligence. Nature Neuroscience 25, 116-126."
)
DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIMULUS_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
IMAGES = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
CAPTIONS = ("annotations/captions_train2017.json", "annotations/captions_val2017.json")

Space = Literal["func1pt8mm", "fsaverage", "nativesurface"]
Format = Literal["hdf5", "nii.gz", "mgh"]
Betas = Literal["betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf"]
Atlas = Literal[
    "HCP_MMP1",
    "streams",
    "nsdgeneral",
    "Kastner2015",
    "corticalsulc",
    "prf-visualrois",
    "prf-eccrois",
    "floc-faces",
    "floc-places",
    "floc-bodies",
    "floc-words",
]
# Drawn in each subject: fsaverage, whose labels are one map for all, has none of them.
DRAWN: tuple[Atlas, ...] = (
    "prf-visualrois",
    "prf-eccrois",
    "floc-faces",
    "floc-places",
    "floc-bodies",
    "floc-words",
)
# Of each subject: voxels (x, y, z) of func1pt8mm, and vertices of the left and right native
# surface. No two subjects have the same, so that they tell whose files these are.
SIZES: dict[str, tuple[tuple[int, int, int], tuple[int, int]]] = {
    "subj01": ((81, 104, 83), (227021, 226601)),
    "subj02": ((82, 106, 84), (239633, 239309)),
    "subj03": ((81, 106, 82), (240830, 243023)),
    "subj04": ((85, 99, 80), (228495, 227262)),
    "subj05": ((79, 97, 78), (197594, 198908)),
    "subj06": ((85, 113, 83), (253634, 259406)),
    "subj07": ((78, 95, 81), (198770, 200392)),
    "subj08": ((80, 103, 78), (224364, 224398)),
}
# Formats in which NSD has the betas of a space; the first is read unless another one is named.
FORMATS: dict[Space, tuple[Format, ...]] = {
    "func1pt8mm": ("hdf5", "nii.gz"),
    "fsaverage": ("mgh",),
    "nativesurface": ("hdf5",),
}
HEMISPHERES = {"lh": "L", "rh": "R"}


@dataclass(frozen=True)
class Folder:
    """The directory that holds ``nsddata``, ``nsddata_betas`` and ``nsddata_stimuli``.

    Attributes
    ----------
    directory : str
        ``~`` and environment variables are expanded.
    dataset : str
        Name of the data set in the study, for messages.
    """

    directory: str
    dataset: str

    @cached_property
    def path(self) -> Path:
        """The directory."""
        return Path(os.path.expandvars(self.directory)).expanduser()

    def file(self, relative: str) -> Path:
        """A file that must be there.

        Raises
        ------
        DataError
            It is not.
        """
        path = self.path / relative
        if not path.is_file():
            if relative in CAPTIONS:
                fix = "unpack annotations_trainval2017.zip of https://cocodataset.org there"
            else:
                fix = (
                    "set options.data to NSD's directory, or download the file: aws s3 cp "
                    f"--no-sign-request s3://natural-scenes-dataset/{relative} {path}"
                )
            raise DataError("the file is missing", where=str(path), fix=fix)
        return path

    def has(self, relative: str) -> bool:
        """Whether a file is there."""
        return (self.path / relative).is_file()


def betas_folder(subject: str, space: Space, betas: Betas) -> str:
    """Folder of a subject's single-trial responses."""
    return f"nsddata_betas/ppdata/{subject}/{space}/{betas}"


def session_file(hemisphere: str, number: int, suffix: Format) -> str:
    """Name of a session's betas; hemisphere ``lh``, ``rh``, or none in the volume."""
    prefix = f"{hemisphere}." if hemisphere else ""
    return f"{prefix}betas_session{number:02d}.{suffix}"


def label_folder(subject: str, space: Space) -> str:
    """Folder of labels on a surface."""
    owner = "fsaverage" if space == "fsaverage" else subject
    return f"nsddata/freesurfer/{owner}/label"


def behaviour_file(subject: str) -> str:
    """What a subject was shown and answered, trial by trial."""
    return f"nsddata/ppdata/{subject}/behav/responses.tsv"


def check_owner(subject: str, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    """Refuse labels that have another subject's number of voxels or vertices.

    Parameters
    ----------
    subject : str
    shapes : dict of str to tuple of int
        Of the labels of ``lh`` and ``rh``.
    where : str
        For messages.

    Raises
    ------
    DataError
    """
    for other, (volume, vertices) in SIZES.items():
        surfaces = dict(zip(HEMISPHERES, vertices, strict=True))
        same = [h for h, shape in shapes.items() if shape in (volume, (surfaces[h],))]
        if same and other != subject:
            shape = shapes[same[0]]
            raise DataError(
                f"{same[0]} labels of shape {shape}: those are {other}'s, and {subject} has "
                f"{SIZES[subject][0] if len(shape) == 3 else SIZES[subject][1]}",
                where=where,
                fix=f"put the files of {subject} into its folder",
            )


def check_agreement(agreement: str, where: str) -> None:
    """Refuse to read until the agreement is acknowledged.

    Raises
    ------
    ConfigError
    """
    if agreement != "accepted":
        raise ConfigError(
            "NSD may be used by those who have signed its data-use agreement",
            where=where,
            fix=f"sign it at {WEBSITE} (Data access), and set options.agreement: accepted",
        )
