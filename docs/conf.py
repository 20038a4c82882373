"""Builds the documentation site: the pages of this folder, and the API reference from the docstrings (`make docs`).

The sources are read, not imported, so the build needs neither the models' libraries nor a database.
"""

from __future__ import annotations

import sys

from astroid.manager import AstroidManager

project = "Condyle"
project_copyright = "the Condyle authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]

html_theme = "alabaster"
html_theme_options = {"description": "Musculoskeletal AI node for a PACS", "page_width": "70rem", "fixed_sidebar": True}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html", "localtoc.html"]}
html_title = "Condyle"
html_show_sphinx = False
html_copy_source = False
templates_path = ["_templates"]  # ours come before the theme's
exclude_patterns = ["_templates"]

myst_heading_anchors = 4  # every heading can be linked to, as on a forge
toc_object_entries = False  # the navigation lists modules only
default_role = "code"  # what stands between single backticks in a docstring

napoleon_google_docstring = False
napoleon_numpy_docstring = True

autoapi_dirs = ["../dicom_sr", "../pipelines", "../node"]
autoapi_root = "api"
autoapi_ignore = ["*/migrations/*"]
autoapi_options = ["members", "undoc-members"]
autoapi_member_order = "bysource"
autoapi_python_class_content = "both"
autoapi_keep_files = False
autoapi_add_toctree_entry = False

suppress_warnings = [
    "autoapi.python_import_resolution",  # constants that are assigned several at once are not followed
    "ref.python",  # a type's short name that two modules share, in a signature
]


class _OtherPackages(set[str]):
    """Every module that is neither ours nor Python's own."""

    def __contains__(self, module: object) -> bool:
        return str(module).partition(".")[0] not in {"dicom_sr", "pipelines", "node", *sys.stdlib_module_names}


# A class that inherits from a library's class does not repeat the library's documentation. Read with the libraries, the
# sources take minutes; without, half a minute.
AstroidManager.brain["module_denylist"] = _OtherPackages()
