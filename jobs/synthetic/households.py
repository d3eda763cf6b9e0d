"""What households and employers of customers have from this operator and from rivals."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.synthetic.arrays import Bools, Ints, Keys, dates, ids, words
from jobs.synthetic.facts import PLAN_IDS, SOLD_PLANS
from jobs.synthetic.hashing import below, chance, child_keys, pick
from jobs.synthetic.layout import Batch
from jobs.synthetic.people import People
from jobs.synthetic.timeline import FIRST, LAST, NEVER, OPENING

_WHOSE: Final = ("own", "rival", "both", "none")
_OWN, _RIVAL, _NONE = 0, 1, 3
_SPEEDS: Final = np.array([100, 300, 500, 1_000])
_EMPLOYERS: Final = 500


def households(people: People, since: Ints) -> Batch:
    """What is known of the households of two thirds; a rival's broadband takes the place of some.

    Args:
        people: The customers.
        since: The day from which each is on file.
    """
    known = np.flatnonzero(chance(people.keys, "household known", 0.65))
    keys, first = people.keys[known], since[known]
    whose = pick(keys, "whose broadband", (48.0, 24.0, 4.0, 24.0))
    lost_on = FIRST + below(keys, "broadband lost on", LAST - FIRST + 1)
    lost = np.flatnonzero((whose == _OWN) & chance(keys, "broadband lost", 0.05) & (first == OPENING))
    rows = np.concatenate([np.arange(len(known)), lost])
    updated = np.concatenate([first, lost_on[lost]])
    whose = np.concatenate([whose, np.full(len(lost), _RIVAL)])
    keys = keys[rows]
    of_both = whose == _WHOSE.index("both")
    own, rival = (whose == _OWN) | of_both, (whose == _RIVAL) | of_both
    told = chance(keys, "rival's end known", 0.6)
    employed = chance(keys, "employer known", 0.3)
    bundle = np.where(chance(keys, "bundle", 0.5) & ~of_both, whose, _NONE)
    number = people.number[known][rows]
    columns = {
        "customer_id": ids("C", number, 7),
        "updated_on": dates(updated),
        "told_by": words(("system", "manager", "survey"), pick(keys, "told by", (6.0, 3.0, 1.0))),
        "household_id": ids("H", number, 7),
        "household_subscriptions": pa.array(people.numbers_held[known][rows] + below(keys, "relatives", 4)),
        "broadband": words(_WHOSE, whose),
        "broadband_mbps": pa.array(_SPEEDS[below(keys, "speed", len(_SPEEDS))], mask=~own),
        "broadband_ends_on": _ends(keys, "own", own),
        "rival_operator": words((None, "中国电信", "中国联通"), rival * (1 + below(keys, "which rival", 2))),
        "rival_ends_on": _ends(keys, "rival", rival & told),
        "tv": words(_WHOSE, np.where(chance(keys, "television", 0.6), whose, _NONE)),
        "bundle": words(_WHOSE, bundle),
        "plan_id": words((None, *PLAN_IDS), (bundle == _OWN) * (1 + below(keys, "plan", len(SOLD_PLANS)))),
        "employer_id": pc.if_else(pa.array(employed), ids("E", below(keys, "employer", _EMPLOYERS), 4), None),
        "employer": words((*_WHOSE, None), np.where(employed, pick(keys, "whose", (5.0, 2.0, 1.0, 2.0)), 4)),
    }
    return Batch("household_products", updated, columns)


def _ends(keys: Keys, which: str, told: Bools) -> pa.Array:
    """Ends of contracts about the newest day, some of them past."""
    ends = LAST - 60 + below(child_keys(keys, 60), f"{which} broadband ends", 700)
    return dates(np.where(told, ends, NEVER))
