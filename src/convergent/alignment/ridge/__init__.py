"""Ridge encoding models: one factorisation of a layer's features for all subjects and targets.

From the bottom: `_gram` and `_space` turn the features of an outer fold into a Gram or covariance
matrix in float64; `_eigen` diagonalises it; `_compress` finds the few functions of an eigenvalue
that stand for all alphas; `_gcv`, `_loo` and `_folds` choose alpha and `_filter` predicts;
`_targets` streams responses; `_ridge` is the way in.
"""
