"""Gratings: a data set, a network and their analysis, as an example of a package outside."""
