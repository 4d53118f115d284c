"""Texts of public toolkits that the user brings: found in a checkout by their sha256, kept in the user's own folder.

None of these texts is part of this project; it knows their digests only (`wanted`).
"""
