"""Sphinx configuration: `sphinx-build -W --keep-going docs docs/_build/html`, with the extra `docs` installed."""

import importlib.util
from importlib.metadata import version as installed_version

project = "aether-temporal"
author = "the aether-temporal authors"
project_copyright = "the aether-temporal authors"
release = installed_version("aether-temporal")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]

html_theme = "furo"
html_title = f"aether-temporal {release}"
html_theme_options = {"source_directory": "docs/"}
