"""Points as rows of device batches: one program and one stream of rows per model."""

from collections.abc import Callable, Iterator, Sequence

from bark_jax.config import TRANSFORMERS
from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.sweeps.settings import ModelSettings, PointSettings
from bark_jax.text import piece_ids

Load = Callable[[ModelSettings], Bark]
Made = tuple[Bark, Generation] | Exception


def generate_one(load: Load, point: PointSettings) -> tuple[Bark, Generation]:
    """A batch of one row."""
    bark = load(point.model)
    made = bark.generate(
        point.text,
        voice=point.voice,
        seed=point.seed,
        sampling=point.sampling_values(),
        guidance=point.guidance or None,
    )
    assert isinstance(made, Generation)  # no argument is a list
    return bark, made


def generate_batched(
    load: Load, points: Sequence[PointSettings], batch_rows: int | None = None
) -> Iterator[tuple[int, Made]]:
    """Yields (index, result) of every point as it is ready, `batch_rows` under way at a time.

    Points of one model differ only in values that the compiled programs take as arguments, and so
    share those programs. The result of a point whose text or voice cannot be used is its error, as
    it is for all points of a model that cannot be loaded or run.
    """
    for model in dict.fromkeys(point.model for point in points):
        group = [index for index, point in enumerate(points) if point.model == model]
        left = set(group)
        try:
            for index, made in _generate_group(load, model, points, group, batch_rows):
                left.discard(index)
                yield index, made
        except Exception as error:  # recorded with each point that it hit
            for index in sorted(left):
                yield index, error


def _generate_group(
    load: Load,
    model: ModelSettings,
    points: Sequence[PointSettings],
    group: Sequence[int],
    batch_rows: int | None,
) -> Iterator[tuple[int, Made]]:
    bark = load(model)
    sound: list[int] = []
    for index in group:
        try:
            piece_ids(bark.runner.tokenizer, points[index].text, bark.config.tokens)
            bark.voices.resolve(points[index].voice)
            sound.append(index)
        except (ValueError, OSError) as error:
            yield index, error
    if not sound:
        return
    values = [points[index].sampling_values() for index in sound]
    sampling = {
        stage: {name: [row[stage][name] for row in values] for name in values[0][stage]}
        for stage in TRANSFORMERS
    }
    rows = bark.stream(
        [points[index].text for index in sound],
        voice=[points[index].voice for index in sound],
        seed=[points[index].seed for index in sound],
        sampling=sampling,
        guidance=[points[index].guidance or None for index in sound],
        batch_rows=batch_rows,
    )
    for row, made in rows:
        yield sound[row], (bark, made)
