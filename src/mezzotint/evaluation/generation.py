"""Generators against real images: distance, fidelity, diversity, usefulness, memorisation, each beside real images.

No number stands alone: as many training images take the place of the generated ones and are measured in the same way
against the same held-out images. What they score is what a perfect generator would score at this size of sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mezzotint import catalog, runtimes
from mezzotint.card import GENERATION, Card
from mezzotint.errors import LimitError, UsageError
from mezzotint.evaluation import generation_data
from mezzotint.evaluation.encoders import Encoder, pixels, squeezenet, thumbs
from mezzotint.evaluation.encoders import inception as fid_inception
from mezzotint.evaluation.generation_data import FEWEST, Images, class_numbers
from mezzotint.evaluation.generation_report import GeneratorReport, Score
from mezzotint.metrics.distribution import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
    sliced_wasserstein,
)
from mezzotint.metrics.memorization import duplicate_rate, memorization
from mezzotint.pipelines.generate import Generator
from mezzotint.pipelines.upscale import Upscaler

# The paper of the sliced Wasserstein distance takes 8192; the noise of a quarter is still small beside its floor.
_SWD_IMAGES = 2048
# Each is compared with every training image.
_COPY_IMAGES, _COPY_REFERENCES = 2000, 5000
_TRIPTYCHS = 8
_MOST_IMAGES = 200_000  # they are held in memory; papers take 50,000


@dataclass(frozen=True)
class _Sets:
    """All images there are; `fake` and as many training images, the `same`, are compared with the `others`.

    The classifier learns from the first training images and these are the last: a network knows the images it learnt from,
    which would raise the floor and flatter the generator.
    """

    made: Images
    training: Images
    held_out: Images
    count: int
    count_others: int

    @property
    def fake(self) -> Images:
        return self.made.first(self.count)

    @property
    def same(self) -> Images:
        return self.training.last(self.count)

    @property
    def others(self) -> Images:
        return self.held_out.first(self.count_others)


def evaluate_generator(
    model: str | Path | runtimes.Model,
    real: str | Path,
    reference: str | Path | None = None,
    *,
    n: int = 10_000,
    seed: int = 0,
    features: str | Path | None = None,
    inception: str | Path | None = None,
    upscale: str | Path | None = None,
    classifier_images: int = 20_000,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    on_score: Callable[[Score], None] | None = None,
) -> GeneratorReport:
    """Measure a generator, given by name, run folder, file, or loaded, on `n` images that it makes from `seed`.

    `real` are the images it was trained on, `reference` held-out ones of the same kind: folders, zips or IDX files,
    brought to the generator's size. Without `reference`, `real` is split into halves, and the numbers say less. The sizes
    of both sets limit n.

    `swd`, `duplicates` and the memorisation tests always; `fd_*` (Frechet), `kd_*` (kernel distance), `precision_*`,
    `recall_*`, `density_*`, `coverage_*` in the features `squeezenet`, with a file of its weights as `features`;
    `inception`, with FID's own file as `inception`, where the Frechet distance is called `fid`; `own`, of a small classifier
    trained here on `classifier_images` of the real images if they have labels (0: not); or else `pixels`. For a generator
    with the same classes also `classifier_accuracy`, on the reference, of that classifier trained on generated images, and
    `recognised`, the share of generated images it assigns to their label when trained on real ones. All networks need torch.

    With `upscale`, a super-resolution model, what is measured are the generated images enlarged by it, against real ones of
    that size.

    `on_score` is called with each number as it is known. Raises `UsageError` (unknown model, one that generates nothing,
    too few images, other classes in `reference`), `LimitError`, `InputError`, `ModelError`, `QualityError` (an output not
    finite).
    """
    card = catalog.card(model) if isinstance(model, str | Path) else model.card
    if card.task != GENERATION or card.size is None:
        raise UsageError(f"{card.name} is a {card.task} model and generates nothing to measure")
    if n < FEWEST:
        raise UsageError(f"at least {FEWEST} images must be generated, not {n}")
    if n > _MOST_IMAGES:
        raise LimitError(f"at most {_MOST_IMAGES:,} images are generated and compared, not {n:,}: take fewer")
    # Whatever may be wrong with the files is told before the work.
    encoders: dict[str, Encoder] = {}
    if features is not None:
        encoders["squeezenet"] = squeezenet(features, threads)
    if inception is not None:
        encoders["inception"] = fid_inception(inception, threads)
    upscaler = None
    if upscale is not None:
        upscaler, card = _second_stage(upscale, card, runtime, precision, threads)
    training, held_out, classes, notes = generation_data.load(card, real, reference, seed)
    generator = Generator(runtimes.load(model, runtime, precision, threads) if isinstance(model, str | Path) else model)
    count = min(n, len(training.pixels))
    lessons = min(classifier_images, len(training.pixels)) if training.labels is not None else 0
    numbers = class_numbers(card.labels, classes) if lessons else None
    if lessons and numbers is None:
        notes.append(
            f"{card.name} does not make the {len(classes)} classes of the data, so no classifier learns from it"
        )
    size = max(count, lessons) if numbers is not None else count
    if lessons and lessons + count > len(training.pixels):
        notes.append("the classifier learnt from images that stand for real ones here: *_own is kinder with more data")
    images = generation_data.opaque(generator.arrays(size, seed))
    if upscaler is not None:
        images = np.stack([upscaler(image) for image in images])
        notes.append(
            f"compared enlarged by {upscale}; real images smaller than {images.shape[2]}x{images.shape[1]} were, too"
        )
    made = Images(images, None if numbers is None else numbers[generator.labels(size)])
    sets = _Sets(made, training, held_out, count, min(n, len(held_out.pixels)))

    scores: dict[str, Score] = {}

    def tell(new: Iterable[Score]) -> None:
        for score in new:
            scores[score.metric] = score
            if on_score:
                on_score(score)

    tell(_sliced(sets, seed))
    found, triptychs = _copies(sets, seed)
    tell(found)
    if lessons:
        encoders["own"], found = _usefulness(sets, lessons, len(classes), seed, threads)
        tell(found)
    if not encoders:
        encoders["pixels"] = pixels()
    for name, encoder in encoders.items():
        fake, same, others = (encoder.encode(part.pixels) for part in (sets.fake, sets.same, sets.others))
        tell(_distribution(name, fake, same, others, seed))
        if min(len(fake), len(others)) < 2 * fake.shape[1]:
            notes.append(f"{_frechet(name)}: less than two images for each of {fake.shape[1]} dimensions; take more")
    if "inception" in encoders:
        against = "papers take 50,000, and often the training set"
        notes.append(f"fid: {count} generated against {sets.count_others} held-out images; {against}")
    return GeneratorReport(
        str(model) if isinstance(model, str | Path) else card.name,
        str(real),
        None if reference is None else str(reference),
        count,
        seed,
        {name: encoder.facts for name, encoder in encoders.items()},
        scores,
        notes,
        triptychs,
        None if upscale is None else str(upscale),
    )


def _sliced(sets: _Sets, seed: int) -> Iterator[Score]:
    """`swd`, times 1000 as papers report it, mean over the levels."""
    if min(sets.others.pixels.shape[1:3]) < 7:
        return
    count = min(_SWD_IMAGES, len(sets.fake.pixels), len(sets.others.pixels))
    value, floor = (
        1000 * float(sliced_wasserstein(sets.others.pixels[:count], part.pixels[:count], seed=seed).mean())
        for part in (sets.fake, sets.same)
    )
    yield Score("swd", value, floor, count, count, seed)


def _copies(sets: _Sets, seed: int) -> tuple[list[Score], np.ndarray]:
    """The memorisation scores, by pixels of thumbnails, and the triptychs."""
    queries = sets.fake.first(_COPY_IMAGES).pixels
    references = sets.held_out.first(_COPY_REFERENCES).pixels
    found = memorization(thumbs(queries), thumbs(sets.training.pixels), thumbs(references))
    fake, same, others = (thumbs(part.pixels) for part in (sets.fake, sets.same, sets.others))
    count = min(len(fake), len(others))
    near, sizes = (
        (len(queries), len(references), seed),
        (len(queries), len(sets.training.pixels) + len(references), seed),
    )
    scores = [
        Score("training_share", found.training_share, found.expected_share, *sizes),
        Score("training_z", found.training_z, None, *sizes),
        Score("ct_z", found.ct_z, None, *near),
        Score("ct_cells", found.ct_cells, None, *near),
        Score("authentic", found.authentic, found.expected_authentic, *near),
        Score("nearest_ratio", found.nearest_ratio, None, *near),
        Score("duplicates", duplicate_rate(fake, others), duplicate_rate(same, others), count, count, seed),
    ]
    chosen = found.suspects(_TRIPTYCHS)
    originals = sets.training.pixels[found.training_indices[chosen]], references[found.held_out_indices[chosen]]
    return scores, np.stack([queries[chosen], *originals], axis=1)


def _usefulness(sets: _Sets, lessons: int, classes: int, seed: int, threads: int | None) -> tuple[Encoder, list[Score]]:
    """The features of a classifier trained on real images; with a generator's labels, `classifier_accuracy` too."""
    from mezzotint.evaluation import features as networks

    networks.use_threads(threads)
    real, made, held_out, fake = sets.training.first(lessons), sets.made.first(lessons), sets.held_out, sets.fake
    assert real.labels is not None and held_out.labels is not None
    teacher = networks.train_classifier(real.pixels, real.labels, classes, seed=seed)
    accuracy = float((networks.predictions(teacher, held_out.pixels) == held_out.labels).mean())
    scores = []
    if made.labels is not None:
        student = networks.train_classifier(made.pixels, made.labels, classes, seed=seed)
        value = float((networks.predictions(student, held_out.pixels) == held_out.labels).mean())
        right = float((networks.predictions(teacher, fake.pixels) == fake.labels).mean())
        scores = [
            Score("classifier_accuracy", value, accuracy, lessons, len(held_out.pixels), seed),
            Score("recognised", right, accuracy, len(fake.pixels), len(held_out.pixels), seed),
        ]
    facts = {"network": "features.SmallClassifier", "version": networks.VERSION, "n": lessons}
    facts |= {"seed": seed, "epochs": networks.EPOCHS}
    return Encoder(lambda images: networks.encode(teacher, images), {**facts, "accuracy": accuracy}), scores


def _frechet(name: str) -> str:
    """FID is what the Frechet distance is called in Inception's features, and in no others."""
    return "fid" if name == "inception" else f"fd_{name}"


def _second_stage(
    name: str | Path, card: Card, runtime: str, precision: str, threads: int | None
) -> tuple[Upscaler, Card]:
    """The upscaler, and the card of a generator whose images it has enlarged."""
    upscaler = Upscaler(runtimes.load(name, runtime, precision, threads))
    assert card.size is not None and upscaler.card.scale is not None
    height, width = (side * upscaler.card.scale for side in card.size)
    return upscaler, card.replace(size=(height, width))


def _distribution(name: str, fake: np.ndarray, same: np.ndarray, others: np.ndarray, seed: int) -> Iterator[Score]:
    """Distances, fidelity and diversity of features N D, of the generator and of training images, against held-out ones."""
    sizes = len(fake), len(others), seed
    yield Score(_frechet(name), frechet_distance(fake, others), frechet_distance(same, others), *sizes)
    yield Score(f"kd_{name}", kernel_distance(fake, others), kernel_distance(same, others), *sizes)
    for metrics, measure in (("precision", "recall"), precision_recall), (("density", "coverage"), density_coverage):
        for metric, value, real in zip(metrics, measure(others, fake), measure(others, same), strict=True):
            yield Score(f"{metric}_{name}", value, real, *sizes)
