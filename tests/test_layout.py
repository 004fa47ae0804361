"""Tests mirror the package: a folder of tests for every room, under the room's own name."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = Path(__file__).parent
OTHERS = {"benchmarks", "nano"}  # programs beside the package
ORACLES = {"parity"}  # what compares with the originals


def folders(root: Path, pattern: str) -> set[str]:
    """Folders below `root` that hold files of this pattern themselves, relative to it."""
    return {path.parent.relative_to(root).as_posix() for path in root.rglob(pattern)} - {"."}


def rooms() -> set[str]:
    """Packages with modules of their own, beside an `__init__.py`."""
    modules = {path for path in (ROOT / "bark_jax").rglob("*.py") if path.name != "__init__.py"}
    found = {path.parent.relative_to(ROOT / "bark_jax").as_posix() for path in modules}
    return found - {"."}


def test_every_room_has_its_folder_of_tests():
    without = rooms() - folders(TESTS, "test_*.py")
    assert without == {"training"}  # which only keeps a former name of data/records.py


def test_every_folder_of_tests_is_a_room_or_a_program():
    assert folders(TESTS, "test_*.py") - rooms() == OTHERS | ORACLES
    assert all((ROOT / name).is_dir() for name in OTHERS)


def test_only_comparisons_with_the_originals_import_them():
    """PyTorch takes seconds to import, so no other test waits for it."""
    allowed = {TESTS / "conftest.py", TESTS / "conversion" / "test_checkpoint_files.py"}
    for path in set(TESTS.rglob("*.py")) - allowed:
        if path.parent.name not in ORACLES:
            for line in path.read_text(encoding="utf-8").splitlines():
                assert not line.startswith(("import torch", "import transformers")), path
                assert not line.startswith(("from torch", "from transformers")), path
