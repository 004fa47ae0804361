"""The training benchmark: bad settings are named, results can be read. A run takes minutes."""

import pytest

pytest.importorskip("grain", reason="needs the extra train")

from benchmarks.training import TrainingSettings, render, run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "huge"}, "size='huge' is not one of"),
        ({"stages": ("text",)}, r"stages=\['text'\] are not among"),
        ({"rows": 0}, "rows=0, want at least 1"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**change)


def test_a_table_has_a_line_per_stage():
    row = {"flops": 2e9, "step_s": 0.5, "positions_per_s": 200.0, "share_of_peak": 0.25}
    assert (
        render({"stages": {"fine": row}}).splitlines()[-1] == "| fine | 2.0 | 0.500 | 200 | 25% |"
    )


@pytest.mark.expensive
def test_a_step_is_measured_beside_the_machine():
    result = run(TrainingSettings(size="tiny", stages=("fine",), rows=2, repeats=1))
    measured = result["stages"]["fine"]
    expected = measured["flops"] / measured["step_s"] / result["peak_flops_per_s"]
    assert measured["share_of_peak"] == pytest.approx(expected)
    assert 0 < measured["share_of_peak"] < 1
