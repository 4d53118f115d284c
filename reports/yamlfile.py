"""YAML of tables and figures that people write by hand."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, of which the first would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    what = f"the key {key.value!r} is there twice"
                    raise yaml.composer.ComposerError(None, None, what, key.start_mark)
                seen.add(key.value)
        return node


def load(text: str) -> Any:
    """What the text says; plain values only. Raises yaml.YAMLError, RecursionError, ValueError."""
    return yaml.load(text, _Loader)
