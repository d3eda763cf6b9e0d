"""Which customer carries which story, and the truth files about them.

Every block of 1,000 customers holds every story once, at places drawn by hash; a block cut short by the
province's size holds those stories whose place it reaches. So a customer's story does not depend on how many
customers there are.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from jobs.synthetic.arrays import Ints
from jobs.synthetic.hashing import root_keys, uniform
from jobs.synthetic.stories_cyclic import CYCLIC
from jobs.synthetic.stories_daily import DAILY
from jobs.synthetic.stories_reminders import REMINDERS
from jobs.synthetic.story import CYCLES, Story
from jobs.synthetic.timeline import LAST, date_of

STORIES: Final[tuple[Story, ...]] = (*DAILY, *CYCLIC, *REMINDERS)
BLOCK: Final = 1_000
NO_STORY: Final = -1

_HEADER: Final = ("subscription_id", "moment", "cycle", "date", "story")


def stories_for(seed: int, customers: Ints) -> Ints:
    """Returns the position of each customer's story, or ``NO_STORY``.

    Args:
        seed: The province's seed.
        customers: Customer numbers, ascending and without gaps.
    """
    first_block, last_block = customers[0] // BLOCK, customers[-1] // BLOCK
    numbers = np.arange(first_block * BLOCK, (last_block + 1) * BLOCK)
    draws = uniform(root_keys(seed, numbers), "place of the story").reshape(-1, BLOCK)
    places = np.argsort(np.argsort(draws, axis=1), axis=1).reshape(-1)
    told = places[customers - numbers[0]]
    return np.where(told < len(STORIES), told, NO_STORY)


class Truth:
    """Collects the planted truth and the near misses of a province."""

    def __init__(self) -> None:
        """Starts with no story told."""
        self._planted: list[tuple[str, ...]] = []
        self._near_misses: list[tuple[str, ...]] = []

    def add(self, subscription_ids: Iterable[str], stories: Iterable[int]) -> None:
        """Adds the stories that subscriptions carry."""
        for subscription_id, position in zip(subscription_ids, stories, strict=True):
            story = STORIES[position]
            self._planted += [(subscription_id, *row) for row in _truths(story)]
            if not story.dates:
                when = date_of(LAST).isoformat()
                self._near_misses.append(
                    (subscription_id, story.moment, CYCLES[story.moment], when, story.label)
                )

    def counts(self) -> dict[str, int]:
        """Returns the planted rows of each moment."""
        return dict(sorted(Counter(row[1] for row in self._planted).items()))

    def write(self, folder: Path) -> None:
        """Writes ``planted.csv`` and ``near_misses.csv``."""
        write_rows(folder / "planted.csv", _HEADER, self._planted)
        write_rows(folder / "near_misses.csv", _HEADER, self._near_misses)


def write_rows(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Writes a small CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _truths(story: Story) -> Iterator[tuple[str, ...]]:
    for moment, days in ((story.moment, story.dates), *story.also):
        for number in days:
            yield moment, CYCLES[moment], date_of(number).isoformat(), story.label
