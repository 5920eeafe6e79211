"""Ridge encoding models: one factorisation of a layer's features for all subjects and targets.

From the bottom: `_gram` and `_space` turn the features of an outer fold into a Gram or covariance
matrix in float64; `_eigen` diagonalises it (generalised cross-validation, leave-one-out) or
`_maps` turns it into maps from training to held-out responses (inner folds); `_gcv`, `_loo` and
`_folds` choose alpha and predict; `_targets` streams responses; `_ridge` is the way in.
"""
