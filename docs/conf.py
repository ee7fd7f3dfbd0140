"""Sphinx configuration: `sphinx-build -W --keep-going docs docs/_build/html`, with the extra `docs` installed."""

import importlib.util
import inspect
import re
from importlib.metadata import version as installed_version
from typing import Any

from aether_temporal import errors

project = "aether-temporal"
author = "the aether-temporal authors"
project_copyright = "the aether-temporal authors"
release = installed_version("aether-temporal")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]

html_theme = "furo"
html_title = f"aether-temporal {release}"
html_theme_options = {"source_directory": "docs/"}

# Docstrings describe parameters in a sentence that begins with their names and a colon, results in one that begins with
# "Returns", and exceptions in one that lists their names. Pages show these sentences as lists.
NAMES = r"`?([a-z_]\w*(?:, [a-z_]\w*)*)`?: "
SENTENCE_END = re.compile(rf"(?<=[.])\s+(?=[A-Z`\"]|{NAMES})|;\s+(?={NAMES})")
PARAMETERS = re.compile(NAMES + "(.*)", re.DOTALL)
ERROR = re.compile(r"([A-Z]\w*Error)\b(.*)", re.DOTALL)
COMMA = re.compile(r",\s+(?![^()]*\))")


def reason(error: re.Match[str]) -> str:
    """What a docstring says of an exception, or what its class says of itself."""
    if said := error[2].strip(" ():"):
        return said
    found = getattr(errors, error[1], None)
    return "" if found is None else str(found.__doc__).split("\n")[0]


def as_fields(text: str, parameters: set[str]) -> list[str]:
    """The fields that a sentence of a docstring stands for; none when it is prose."""
    if (found := PARAMETERS.fullmatch(text)) and set(names := found[1].split(", ")) <= parameters:
        return [f":param {each}: {found[2]}" for each in names]
    if text.startswith("Returns "):
        return [f":returns: {text.removeprefix('Returns ')}"]
    listed = [ERROR.fullmatch(part) for part in COMMA.split(text.rstrip("."))]
    return [f":raises {error[1]}: {reason(error)}" for error in listed if error] if all(listed) else []


def sentences(paragraph: str, parameters: set[str]) -> list[str]:
    """The parts of a paragraph. A semicolon ends one only where the next is about parameters."""
    parts: list[str] = []
    start = 0
    for end in SENTENCE_END.finditer(paragraph):
        following = PARAMETERS.match(paragraph, end.end())
        if paragraph[end.start()] != ";" or (following and set(following[1].split(", ")) <= parameters):
            parts.append(paragraph[start : end.start()])
            start = end.end()
    return [*parts, paragraph[start:]]


def list_parameters(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Moves the sentences about parameters, results and exceptions to a list at the end."""
    if what not in ("function", "method", "class"):
        return
    try:
        parameters = set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return
    prose: list[str] = []
    fields: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        if paragraph.startswith((" ", "-", "*", "|", ":", ">>>")):
            prose += [*paragraph.split("\n"), ""]
            continue
        kept = []
        for sentence in sentences(paragraph.strip(), parameters):
            found = as_fields(" ".join(sentence.split()), parameters)
            fields += found
            if not found:
                kept.append(sentence)
        if kept:
            prose += [*" ".join(kept).split("\n"), ""]
    if fields:
        lines[:] = [*prose, *fields, ""]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", list_parameters)
