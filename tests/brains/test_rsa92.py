"""Pictures and dissimilarities of the 92 objects: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import rsa92_files
from convergent.alignment.similarity import Dissimilarities, similarity_ceilings
from convergent.brains import Responses, open_dataset
from convergent.brains.rsa92 import Rsa92Reader
from convergent.errors import DataError, IdError, UnknownKeyError
from convergent.study import DatasetConfig

PAIRS = np.triu_indices(92, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rsa92")
    rsa92_files.write(place)
    return place


def reader(folder: Path) -> Rsa92Reader:
    return Rsa92Reader(data=str(folder), verify=False)


def test_the_planted_dissimilarities_are_those_of_the_pictures(folder: Path) -> None:
    data = reader(folder)
    stimuli = data.stimuli()
    assert len(stimuli) == 92 and stimuli.images is not None
    colour = stimuli.images.mean(axis=(1, 2))
    planted = np.linalg.norm(colour[:, None] - colour[None], axis=2)[PAIRS]
    for subject in data.subjects():
        responses = data.responses(subject)
        assert responses.kind == "dissimilarities" and responses.stimulus_id is not None
        assert responses.stimulus_id.tolist() == stimuli.ids.tolist()
        assert spearmanr(responses.data[PAIRS], planted)[0] > 0.8
        assert np.isnan(responses.noise_ceiling).all()


def test_sessions_are_averaged(folder: Path, tmp_path: Path) -> None:
    rsa92_files.write(tmp_path, sessions=[(who, 1) for who in rsa92_files.SUBJECTS])
    one, two = reader(tmp_path).responses("KO"), reader(folder).responses("KO")
    assert one.attrs["sessions"] == 1 and two.attrs["sessions"] == 2
    apart = [np.std(r.data - np.mean(r.data)) for r in (one, two)]
    assert apart[1] < apart[0]


def test_subjects_with_unequal_sessions_are_refused(tmp_path: Path) -> None:
    some = [("BE", 1), ("BE", 2), ("KO", 1), ("SN", 1), ("SN", 2), ("TI", 1), ("TI", 2)]
    rsa92_files.write(tmp_path, sessions=some)
    with pytest.raises(DataError, match="unequal or unknown sessions.*KO 1"):
        reader(tmp_path).responses("BE")


def test_matrices_in_another_order_than_the_pictures_are_refused(tmp_path: Path) -> None:
    order = np.arange(92)
    order[[3, 40]] = 40, 3
    rsa92_files.write(tmp_path, order=order)
    with pytest.raises(DataError, match="not the one that is published with the pictures"):
        reader(tmp_path).responses("BE")


def test_missing_changed_and_foreign_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="supplementalData.mat.*cannot be read"):
        reader(tmp_path).stimuli()
    with pytest.raises(DataError, match="not the published file"):
        Rsa92Reader(data=str(folder)).responses("BE")
    (tmp_path / "92_brainRDMs.mat").write_bytes(b"no matlab file at all" * 20)
    with pytest.raises(DataError, match="no MATLAB 5 file"):
        reader(tmp_path).responses("BE")


def test_unknown_subjects_are_named(folder: Path) -> None:
    config = DatasetConfig(
        reader="rsa92", modality="vision", design="items", subjects=("BE", "K0"),
        options={"data": str(folder), "verify": False},
    )  # fmt: skip
    with pytest.raises(UnknownKeyError, match="unknown subject 'K0'"):
        open_dataset("rsa92", config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m + np.eye(4), "not zero on the diagonal"),
        (lambda m: np.triu(m), "not symmetric"),
        (lambda m: -m, "negative"),
        (lambda m: m[:, :3], r"shape \(4, 3\)"),
    ],
)
def test_what_is_no_dissimilarity_is_refused(change, said) -> None:
    matrix = change(np.ones((4, 4)) - np.eye(4))
    targets = matrix.shape[1]
    with pytest.raises(DataError, match=said):
        Responses(
            "d", "s", "items", matrix, np.repeat("IT", targets), np.ones(targets),
            stimulus_id=np.array(list("abcd")), kind="dissimilarities",
        )  # fmt: skip


def test_ids_that_do_not_match_are_refused() -> None:
    from convergent.brains import join_items

    matrix = np.ones((4, 4)) - np.eye(4)
    ids = np.array(list("abcx"))
    given = Responses("d", "s", "items", matrix, np.repeat("IT", 4), np.ones(4), ids,
                      kind="dissimilarities")  # fmt: skip
    with pytest.raises(IdError, match="unknown stimuli: x"):
        join_items(np.array(list("abcd")), given)


def test_the_published_data_agree_as_reported(shared_data: Path) -> None:
    data = Rsa92Reader(data=str(shared_data / "rsa92_human_IT"))
    rdms = [data.responses(subject).data for subject in data.subjects()]
    found = similarity_ceilings(
        [Dissimilarities(rdm) for rdm in rdms], [np.zeros(92, int)] * 4, 1, {"rsa_spearman": None}
    )["rsa_spearman"]
    assert found.lower[0, 0] == pytest.approx(0.372, abs=0.002)
    # the mean of the others' distances, subject by subject
    lower = [
        spearmanr(rdm[PAIRS], np.mean([o for o in rdms if o is not rdm], 0)[PAIRS])[0]
        for rdm in rdms
    ]
    np.testing.assert_allclose(lower, [0.43, 0.30, 0.45, 0.34], atol=0.006)
