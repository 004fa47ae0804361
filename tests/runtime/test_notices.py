"""What a user is warned of, once, and where."""

import logging
import warnings

import absl.logging
import pytest

from bark_jax.runtime.notices import logging_left_alone, warn, warnings_in_one_line


@pytest.fixture
def root(monkeypatch):
    """The root logger, without the handlers of the tests."""
    monkeypatch.setattr(logging.root, "handlers", [])
    return logging.root


def test_without_a_log_a_warning_is_said_once(root, capsys):
    with pytest.warns(UserWarning, match="mind the gap") as warned:
        warn("mind the gap")
    assert len(warned) == 1 and warned[0].filename == __file__
    assert capsys.readouterr().err == ""  # where logging would print it for want of a handler


def test_a_log_gets_it_as_well(caplog):
    with pytest.warns(UserWarning, match="mind the gap"):
        warn("mind the gap")
    assert caplog.messages == ["mind the gap"]


def test_a_program_shows_it_in_one_line(capsys):
    with warnings_in_one_line("bark-jax"):
        warnings.simplefilter("always")
        warnings.warn("mind\n the gap", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "bark-jax: mind the gap\n"


def test_absl_does_not_set_up_the_log(root):
    with logging_left_alone():
        absl.logging.warning("a message")
    assert root.handlers == []
