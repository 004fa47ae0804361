"""What a user is warned of, once, and where."""

import logging
import warnings

import absl.logging
import pytest

from bark_jax.runtime.notices import logging_left_alone, warn, warnings_in_one_line


def without_a_log(monkeypatch):
    """Takes the handlers of the tests away; called in the test, for pytest sets them up last."""
    monkeypatch.setattr(logging.root, "handlers", [])


def test_without_a_log_a_warning_is_said_once(monkeypatch, capsys):
    without_a_log(monkeypatch)
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


def test_absl_does_not_set_up_the_log(monkeypatch):
    without_a_log(monkeypatch)
    with logging_left_alone():
        absl.logging.warning("a message")
    assert logging.root.handlers == []
