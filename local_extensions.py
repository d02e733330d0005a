"""Filters that put a person's text into a file without changing what it says."""

import json
import re

from jinja2 import Environment
from jinja2.ext import Extension


def quoted(text: str) -> str:
    """A string literal that TOML, YAML, JSON and Python all read back as `text`."""
    return json.dumps(text, ensure_ascii=False)


def markdown(text: str) -> str:
    """Text that Markdown shows as typed: what it would take for markup is escaped."""
    text = re.sub(r"([\\`*_\[\]<>#|&~!$@]|:(?=\w+:))", r"\\\1", text)
    return re.sub(r"^(\d{0,9})([-+=.)])", r"\1\\\2", text)  # a list, a rule, an underline


class Escapes(Extension):
    """Adds the filters to cookiecutter's environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(quoted=quoted, markdown=markdown)
