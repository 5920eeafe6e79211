"""The names of the package, each with its module; `__init__.py` imports them when asked for."""

from .calibrate import Calibrated as Calibrated
from .calibrate import calibrate as calibrate
from .calibrate import calibrate_maximum as calibrate_maximum
from .calibrate import largest_p as largest_p
from .ceilings import RsaCeiling as RsaCeiling
from .ceilings import SimilarityCeiling as SimilarityCeiling
from .ceilings import rsa_noise_ceiling as rsa_noise_ceiling
from .ceilings import similarity_ceilings as similarity_ceilings
from .compare import compare as compare
from .compare import compare_layers as compare_layers
from .compare import compare_subjects as compare_subjects
from .geometry import Geometry as Geometry
from .geometry import PairKind as PairKind
from .geometry import PairVectors as PairVectors
from .metric import Dissimilarities as Dissimilarities
from .metric import check_metrics as check_metrics
from .metric import compares_dissimilarities as compares_dissimilarities
from .metric import of_dissimilarities as of_dissimilarities
from .metric import similarity_names as similarity_names
from .products import SimilarityScores as SimilarityScores
