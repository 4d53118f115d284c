"""How far to trust a judge: the statistics of `judge-audit`, the label files it reads, the books it keeps. Floor 2.

Nothing here asks a model. Coefficients come from SciPy, statsmodels and krippendorff (extra `stats`), imported where
they are used.
"""
