#!/usr/bin/env python3
"""Run evalkit from a checkout: the same as the installed command `evalkit`."""

from evalkit.cli import entry

if __name__ == "__main__":
    entry()
