"""What README and docs import is there, and the package shows its public names."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import bark_jax

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def snippets() -> list[str]:
    """The import lines of this project in all Python blocks of README and docs."""
    found = set()
    for page in PAGES:
        for block in re.findall(
            r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
        ):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bark_jax"):
                    found.add(ast.unparse(node))
    return sorted(found)


@pytest.mark.parametrize("line", snippets())
def test_what_the_documentation_imports_is_there(line):
    exec(line, {})


def test_the_documentation_was_found():
    assert "from bark_jax import Bark" in snippets()
    assert "from bark_jax.data.records import open_source" in snippets()


def test_what_the_documentation_imported_before_is_still_there():
    from bark_jax.data import records
    from bark_jax.training.records import open_source

    assert open_source is records.open_source


@pytest.mark.parametrize("name", bark_jax.__all__)
def test_every_public_name_is_what_it_says(name):
    value = getattr(bark_jax, name)
    assert name in dir(bark_jax)
    if name != "__version__":
        assert value.__name__ == name and value.__doc__


def test_every_public_name_is_imported_for_type_checkers():
    """The lazy table and the imports under TYPE_CHECKING agree."""
    tree = ast.parse(Path(str(bark_jax.__file__)).read_text(encoding="utf-8"))
    shown = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bark_jax.")
        for alias in node.names
    }
    assert shown == bark_jax._HOMES
    assert {*shown, "__version__"} == set(bark_jax.__all__)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'bark_jax' has no attribute 'Brak'"):
        importlib.import_module("bark_jax").Brak  # noqa: B018
