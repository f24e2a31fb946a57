"""The papers' experiments: a folder a paper, in it a folder a kind of experiment.

`shared.py` of a paper holds the parts of its config that its experiments refer to. A kind has config.py (its section of
the config), job.py (its stages: what a job is told, reads and writes) and measure.py (a function a stage). Rules and
config read the first two, so these must not load torch.
"""

from deqbench.papers.reading import further

__path__ += map(str, further())  # a paper outside the package has its kinds beside its data
