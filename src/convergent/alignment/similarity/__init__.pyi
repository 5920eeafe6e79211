"""The names of the package, each with its module; `__init__.py` imports them when asked for."""

from ._calibrate import Calibrated as Calibrated
from ._calibrate import calibrate as calibrate
from ._calibrate import calibrate_maximum as calibrate_maximum
from ._calibrate import largest_p as largest_p
from ._ceiling import RsaCeiling as RsaCeiling
from ._ceiling import rsa_noise_ceiling as rsa_noise_ceiling
from ._compare import compare as compare
from ._compare import compare_layers as compare_layers
from ._compare import compare_subjects as compare_subjects
from ._dissimilarities import Dissimilarities as Dissimilarities
from ._geometry import Geometry as Geometry
from ._metric import check_metrics as check_metrics
from ._metric import compares_dissimilarities as compares_dissimilarities
from ._metric import of_dissimilarities as of_dissimilarities
from ._metric import similarity_names as similarity_names
from ._pairs import PairKind as PairKind
from ._pairs import PairVectors as PairVectors
from ._scores import SimilarityScores as SimilarityScores
from ._subject_ceilings import SimilarityCeiling as SimilarityCeiling
from ._subject_ceilings import similarity_ceilings as similarity_ceilings
