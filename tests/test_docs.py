"""The documentation builds: no link is broken, no name in the API's reference is missing."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

import bark_jax

ROOT = Path(__file__).parents[1]


def build(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out, *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_links_and_names_of_the_documentation_are_there(tmp_path):
    """Also that what docstrings say of arguments fits the signatures."""
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    for name in set(bark_jax.__all__) - {"__version__"}:
        assert f'id="bark_jax.{name}"' in reference, name


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == bark_jax.__version__
