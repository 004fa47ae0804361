"""The fine stage: its windows, and what it leaves alone. Against the original: parity/."""

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.decoding.noise import KeyNoise
from bark_jax.sampling_config import FineSampling, per_row
from bark_jax.stages import fine
from bark_jax.stages.fine import Window, generate_fine, n_windows, plan_windows
from tests import tiny

LAYOUT = TokenLayout()
L = tiny.LAYOUT


@pytest.mark.parametrize(
    "n_frames, n_history, windows",
    [
        # (first frame of the window, first frame written, frames only read)
        (1, 0, [(0, 0, 0)]),
        (1024, 0, [(0, 0, 0)]),
        (1025, 0, [(0, 0, 0), (1, 512, 511)]),
        (1154, 0, [(0, 0, 0), (130, 512, 382)]),
        (1536, 0, [(0, 0, 0), (512, 512, 0)]),
        (1537, 0, [(0, 0, 0), (512, 512, 0), (513, 1024, 511)]),
        (2000, 0, [(0, 0, 0), (512, 512, 0), (976, 1024, 48)]),
        (205, 237, [(0, 237, 237)]),
        (205, 464, [(0, 464, 464)]),
        (205, 512, [(0, 512, 512)]),
        (512, 512, [(0, 512, 512)]),
        (513, 512, [(0, 512, 512), (1, 513, 512)]),
        (600, 300, [(0, 300, 300)]),
        (600, 512, [(0, 512, 512), (88, 600, 512)]),
        (1024, 512, [(0, 512, 512), (512, 1024, 512)]),
        (1154, 512, [(0, 512, 512), (512, 1024, 512), (642, 1154, 512)]),
    ],
)
def test_windows(n_frames, n_history, windows):
    plan = plan_windows(n_frames, n_history, LAYOUT)
    assert plan == [Window(start, fill) for start, fill, _ in windows]
    assert [window.n_seen for window in plan] == [n_seen for *_, n_seen in windows]


@pytest.mark.parametrize("n_history, kept", [(237, 237), (464, 464), (512, 512), (750, 512)])
def test_at_most_512_frames_of_history_are_kept(n_history, kept):
    coarse, history = np.zeros((2, 600), int), np.zeros((8, n_history), int)
    assert n_windows([coarse], [history], LAYOUT) == [len(plan_windows(600, kept, LAYOUT))]
    assert fine.kept_history(history, LAYOUT) == kept


def codes(n_rows: int, n_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, L.codebook_size, (n_rows, n_frames))


def run(coarse, histories=None, temperatures=None, seeds=None, execution=tiny.F32, **kwargs):
    """The fine stage on the tiny model."""
    n = len(coarse)
    return generate_fine(
        tiny.stage_params("fine"),
        coarse,
        histories or [None] * n,
        per_row("fine", FineSampling(temperature=temperatures or 0.5, processors=()), n),
        KeyNoise.of(seeds or list(range(n)), "fine"),
        cfg=tiny.CONFIG,
        execution=execution,
        **kwargs,
    )


@pytest.mark.parametrize("n_frames", [1, 63, 64, 65, 96, 97, 150])
@pytest.mark.parametrize("n_history", [0, 5, 40])
def test_shapes_ranges_and_given_rows(n_frames, n_history):
    given = codes(L.n_coarse_codebooks, n_frames)
    history = codes(L.n_fine_codebooks, n_history) if n_history else None
    (out,) = run([given], [history])
    assert out.shape == (L.n_fine_codebooks, n_frames)
    assert out.dtype == np.int32
    assert 0 <= out.min() and out.max() < L.codebook_size
    np.testing.assert_array_equal(out[: len(given)], given)


def test_rows_of_a_batch_give_their_solo_result():
    rows = [codes(3, n, seed=n) for n in (1, 64, 65, 97, 150, 30, 64, 100)]
    histories = [None, codes(5, 40), None, codes(5, 7), codes(5, 28), None, None, codes(5, 100)]
    temperatures = [0.5, 0.0, 1.0, 0.7, 0.2, 2.0, 0.5, 0.9]
    seeds = [3, 1, 4, 1, 5, 9, 2, 6]
    together = run(rows, histories, temperatures, seeds)
    for i, row in enumerate(rows):
        (alone,) = run([row], [histories[i]], [temperatures[i]], [seeds[i]])
        np.testing.assert_array_equal(together[i], alone, err_msg=f"row {i}")


def test_grouping_of_rows_changes_nothing():
    rows = [codes(3, n, seed=n) for n in (64, 65, 150)]
    one_by_one = run(rows)
    together = run(rows, execution=tiny.execution(parallel_rows=4))
    for a, b in zip(together, one_by_one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_progress_counts_windows_and_changes_nothing():
    rows = [codes(3, 150), codes(3, 10)]
    seen: list[int] = []
    with_report = run(rows, report=seen.append)
    total = sum(n_windows(rows, [None, None], L))
    assert seen == list(range(1, total + 1))
    for a, b in zip(with_report, run(rows), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_draws_other_codes():
    given = codes(3, 64)
    assert (run([given], seeds=[1])[0] != run([given], seeds=[2])[0]).any()
    np.testing.assert_array_equal(run([given], seeds=[1])[0], run([given], seeds=[1])[0])


def test_temperature_zero_ignores_the_seed():
    given = codes(3, 64)
    a = run([given], temperatures=[0.0], seeds=[1])[0]
    np.testing.assert_array_equal(a, run([given], temperatures=[0.0], seeds=[2])[0])


def test_new_temperatures_and_numbers_of_given_codebooks_reuse_the_program(compilations):
    run([codes(3, 64)])
    before = compilations()
    for n_given, temperature in ((1, 0.3), (2, 1), (4, 0)):
        run([codes(n_given, 20)], temperatures=[temperature])
    assert compilations() == before
