"""The Natural Scenes Dataset: eight people, 7 T, up to 30,000 trials of 10,000 photographs each.

Files are read as NSD distributes them, from one directory. Nothing of them is part of this
package: the data-use agreement at https://naturalscenesdataset.org comes first.

References
----------
Allen, St-Yves, Wu et al. (2022), Nature Neuroscience 25, 116-126.
"""
