"""What keeps the tests apart from the speed of the machine, and from each other when several processes run them."""

from __future__ import annotations

import os

from hypothesis import settings

# A worker of pytest-xdist computes with one thread: workers share the cores as processes, and threads of OpenMP, which
# spin while they wait for each other, slow all of them a hundredfold there. Set before numpy or torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hypothesis fails an example that takes 200 ms of the clock, which says how busy the machine is; what must be quick
# has tests of its own. On top of the profile that holds, as Hypothesis has one for CI.
settings.register_profile("any-machine", parent=settings.default, deadline=None)
settings.load_profile("any-machine")
