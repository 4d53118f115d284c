#!/usr/bin/env python3
"""Run evalkit from a checkout: the same as the installed command `evalkit`."""

import sys

from evalkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
