"""Lets Griffe read our docstrings: no blank line between `Args:` and `Raises:`, bare examples."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"(?<!\n)\n(?=(?:Args|Attributes|Raises|Returns|Yields):\n)")
EXAMPLE = re.compile(r"(?:^>>> .*(?:\n|\Z))+", re.MULTILINE)


class Sections(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = SECTION.sub("\n\n", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
