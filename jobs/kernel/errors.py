"""One kind of problem report, a catalogue of its codes, and one exception for each party who must act."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

CODES: dict[str, str] = {
    "ALERTS_HELD": "A moment has far more alerts than usual, or none; somebody has to let it pass.",
    "CONF_MISSING_FILE": "A file or folder that the configuration needs is not there.",
    "CONF_UNKNOWN_REFERENCE": "A name in the configuration refers to nothing.",
    "CONF_UNSAFE_KEY": "The development key is used outside local runs, or a key is not set.",
    "CONTRACT_BAD_FIELD": "A contract names a field that it does not define.",
    "CUSTOMER_UNKNOWN": "A customer is named of whom no table has a row.",
    "CYCLE_BAD_DATE": "A date is not a calendar date, or the cycle is not due on it.",
    "CYCLE_ISSUED": "A date is to be dispatched again whose alerts were given out.",
    "CYCLE_NOT_COMPLETE": "A date is named that has not been dispatched.",
    "CYCLE_NOT_HELD": "A moment is to be let pass that is not held on the date.",
    "EXPORT_DIFFERS": "Other files than those of now were exported for a date before.",
    "EXPR_BAD_LITERAL": "A literal cannot be used here.",
    "EXPR_BAD_WINDOW": "A window is not of the form Nd, Nm, mtd or ever, with an optional 'before Nd'.",
    "EXPR_NOT_ALLOWED": "An expression uses something outside the closed language.",
    "EXPR_SYNTAX": "An expression cannot be parsed.",
    "EXPR_TYPE": "An expression combines types that do not fit.",
    "EXPR_UNIT": "An expression compares or adds different units.",
    "EXPR_UNKNOWN_FUNCTION": "An expression calls a function outside the closed list.",
    "EXPR_UNKNOWN_NAME": "An expression uses a name that is not defined.",
    "FILE_BAD_HEADER": "The header of an extract lacks a column, repeats one, or cannot be read.",
    "FILE_BAD_NAME": "The name of an extract does not follow the pattern of its mapping.",
    "FILE_BAD_ROW": "A row of an extract breaks its contract.",
    "FILE_INCOMPLETE": "An extract is still being written, or does not agree with its control file.",
    "FILE_MISSING": "An extract, or the folder of extracts, is not there.",
    "FILE_REFUSED": "An extract has more bad rows than its contract allows.",
    "FILE_UNDECODABLE": "An extract cannot be decoded as its mapping says.",
    "FILE_UNEXPECTED": "A delivery as a whole is not as its contract expects, or its columns have changed.",
    "ITEM_CYCLE": "Items of the customer view refer to each other in a circle.",
    "ITEM_DUPLICATE": "An item or measure of the customer view, or an extract contract, is defined twice.",
    "JAVA_START": "Spark could not be started: no Java, or Java refuses an option.",
    "LEDGER_SUM": "Rows read are not rows loaded + quarantined + duplicates.",
    "LINT_ALWAYS_TRUE": "A rule is met by everybody in its audience.",
    "LINT_DEAD_CONDITION": "A branch of a rule can never be met.",
    "LINT_DUPLICATE": "Two rules are met by the same customers.",
    "LINT_NEVER_TRUE": "A rule can be met by nobody.",
    "LINT_OVERLAP": "Whoever meets a rule meets another one as well, and neither inhibits the other.",
    "LINT_RETIRED": "A rule names one that is retired.",
    "LINT_UNREACHABLE_STEP": "A rule has a step that can never be reached.",
    "LOCKED": "Another run holds the warehouse.",
    "MODEL_IN_USE": "A model is to be put in use that is in use already.",
    "MODEL_LEAK": "An item tells what it could only know afterwards; a model must not learn from it.",
    "MODEL_NO_DATA": "There is nothing, or too little, for a model to learn from.",
    "MODEL_UNKNOWN": "A model is named that has not been trained, or there is none to go back to.",
    "RULE_BAD_PARAMETER": "A parameter is out of its bounds, unused or undefined.",
    "RULE_BAD_TEMPLATE": "A description has a placeholder that cannot be filled.",
    "RULE_CYCLE": "Rules name each other as conditions in a circle.",
    "RULE_DUPLICATE_ID": "Two rules carry the same id, or the file is not named for its rule.",
    "RULE_INHIBITS_OWED": "A rule mutes a service that is owed, and is none itself.",
    "RULE_UNKNOWN_ITEM": "A rule uses something that is not an item of the customer view.",
    "RULE_UNKNOWN_REFERENCE": "A rule names an audience, plan or rule that does not exist.",
    "SOURCE_LATE": "A source is not as fresh as its contract says, and its mapping says to wait or to stop.",
    "TABLE_BREAKS_READERS": "A table that others read has changed in a way that breaks them.",
    "TABLE_MISMATCH": "A table in the warehouse does not fit its schema file.",
    "TABLE_MISSING": "A table or partition that a stage needs has not been written yet.",
    "TABLE_UNWRITABLE": "A table cannot be written where it lies.",
    "YAML_BAD_VALUE": "A value in a YAML file is of the wrong kind or outside its set.",
    "YAML_DUPLICATE_KEY": "A YAML mapping has the same key twice.",
    "YAML_MISSING_KEY": "A YAML mapping lacks a key.",
    "YAML_SYNTAX": "A YAML file cannot be parsed.",
    "YAML_UNKNOWN_KEY": "A YAML mapping has a key that is not known here.",
}

EXIT_USER_ERROR = 2
EXIT_HELD = 3
EXIT_LOCKED = 4
EXIT_LATE = 5


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file; line and column count from one, 0 means the file as a whole."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True, order=True)
class Issue:
    """One problem that somebody must mend: where, which code, what was found and expected.

    Example:
        >>> print(Issue("RULE_UNKNOWN_ITEM", "'bil' is not an item", Location("rules/x.yaml", 14, 9)))
        rules/x.yaml:14:9 RULE_UNKNOWN_ITEM 'bil' is not an item
    """

    code: str
    message: str
    location: Location = field(default_factory=lambda: Location(""))

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the catalogue of codes")

    def __str__(self) -> str:
        where = f"{self.location} " if self.location.path else ""
        return f"{where}{self.code} {self.message}"


class KeyMomentsError(Exception):
    """Root of all errors that a user can mend; carries every issue found, each once."""

    exit_code = EXIT_USER_ERROR

    def __init__(self, issues: Issue | Iterable[Issue]) -> None:
        # One file may fill many contracts; what is wrong with it is told once.
        found = [issues] if isinstance(issues, Issue) else set(issues)
        self.issues = sorted(found, key=lambda issue: (issue.location, issue.code, issue.message))
        super().__init__("\n".join(str(issue) for issue in self.issues))

    @property
    def codes(self) -> list[str]:
        """The codes of the issues, in order of place."""
        return [issue.code for issue in self.issues]


class ConfigError(KeyMomentsError):
    """Whoever owns conf/, schemas/ or rules/ must act."""


class SourceError(KeyMomentsError):
    """Whoever delivers the extracts must act."""


class CycleError(KeyMomentsError):
    """Whoever started the run must act: a wrong date, or a step before its time."""


class StorageError(KeyMomentsError):
    """Whoever runs the warehouse must act."""


class LateError(SourceError):
    """A delivery is late; run again once it is there."""

    exit_code = EXIT_LATE


class HeldError(KeyMomentsError):
    """The date was written, but moments of it are held until somebody has looked at them."""

    exit_code = EXIT_HELD


class LockedError(KeyMomentsError):
    """Another run is at work; wait for it."""

    exit_code = EXIT_LOCKED


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" for the nearest known word, or an empty string.

    Example:
        >>> did_you_mean("bil_total", ["bill_total", "brand"])
        " (did you mean 'bill_total'?)"
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
