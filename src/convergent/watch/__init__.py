"""Looking at a study from outside: how far it is, whether it can run, whether its files are sound.

Nothing here plans or computes: `status`, `doctor` and `verify` are three ways to look, each a
module of its own, so that the first imports no array library.
"""
