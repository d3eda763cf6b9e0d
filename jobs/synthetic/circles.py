"""Calling circles: whom each subscription calls, texts and hears from."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.synthetic.arrays import Bools, Ints, Keys
from jobs.synthetic.facts import OWN_PREFIXES, RIVAL_PREFIXES
from jobs.synthetic.hashing import below, child_keys, root_keys, uniform
from jobs.synthetic.lines import Lines, first_numbers

_NEIGHBOURHOOD: Final = 100
"""Customers know others of their hundred, so that whom they know does not depend on the province's size."""

_LARGEST: Final = 26
_SMALLEST: Final = 5
OUTSIDERS: Final = 10**8


@dataclass(frozen=True)
class Circles:
    """The numbers each subscription is in touch with (rows: subscriptions), and how many of them count."""

    numbers: Ints
    sizes: Ints

    def someone(self, keys: Keys, line: Ints) -> Ints:
        """Draws a number from each subscription's circle; the first ones are called most."""
        place = np.asarray(self.sizes[line] * uniform(keys, "contact") ** 1.6, dtype=np.int64)
        return self.numbers[line, place]


def make_circles(lines: Lines) -> Circles:
    """Makes the circles: some of the own hundred, outsiders on the own network, outsiders on others."""
    keys = child_keys(lines.keys[:, None], np.arange(_LARGEST))
    kind = uniform(keys, "kind of contact")
    off_net = lines.off_net[:, None]
    own, rival = np.array(OWN_PREFIXES), np.array(RIVAL_PREFIXES)
    outside = below(keys, "outsider", OUTSIDERS)
    numbers = np.select(
        [kind < off_net, kind < off_net + 0.5 * (1 - off_net)],
        [rival[below(keys, "rival prefix", len(rival))] * OUTSIDERS + outside, _neighbours(lines, keys)],
        own[below(keys, "own prefix", len(own))] * OUTSIDERS + outside,
    )
    talkative = 4 * np.minimum(lines.call_rate, 3.0)
    sizes = _SMALLEST + below(lines.keys, "circle", np.asarray(8 + talkative, dtype=np.int64))
    return Circles(numbers, np.minimum(sizes, _LARGEST))


def is_off_net(numbers: Ints) -> Bools:
    """Whether numbers belong to rival networks."""
    return np.isin(numbers // OUTSIDERS, RIVAL_PREFIXES)


def _neighbours(lines: Lines, keys: Keys) -> Ints:
    shift = 1 + below(keys, "neighbour", _NEIGHBOURHOOD - 1)
    first_of_hundred = lines.customer - lines.customer % _NEIGHBOURHOOD
    position = (lines.customer % _NEIGHBOURHOOD)[:, None] + shift
    neighbour = (first_of_hundred[:, None] + position % _NEIGHBOURHOOD).reshape(-1)
    return first_numbers(lines.seed, neighbour, root_keys(lines.seed, neighbour)).reshape(keys.shape)
