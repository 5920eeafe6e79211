"""The metric; its function, which needs torch, is imported where scores are computed."""

from convergent.alignment.metrics import Similarity

COSINE_PAIRS = Similarity("gratings.pairs:cosine_pairs", minimum=4)
