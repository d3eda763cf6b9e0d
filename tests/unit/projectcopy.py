"""A copy of a project whose files a test may change."""

from decimal import Decimal
from pathlib import Path

from jobs.expressions.types import Type
from jobs.kernel.project import Project
from jobs.rulelang.load import load_rules
from jobs.rulelang.ruleset import RuleSet

RULE_TYPES = {
    "city": Type("string"),
    "subscription_status": Type("string"),
    "value_tier": Type("string"),
    "balance": Type("decimal", "yuan"),
    "arrears_amount": Type("decimal", "yuan"),
    "balance_days_left": Type("decimal", "day"),
    "days_to_birthday": Type("integer", "day"),
    "voice_minutes_7d": Type("decimal", "minute"),
    "voice_change_pct": Type("decimal", "percent"),
    "complaints_1d": Type("integer", "count"),
    "complaints_30d": Type("integer", "count"),
    "data_used_pct": Type("decimal", "percent"),
    "dnd_from": Type("date"),
}


class ProjectCopy:
    """A project folder whose files a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = Project(root)

    def write(self, path: str, text: str) -> "ProjectCopy":
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return self

    def replace(self, path: str, old: str, new: str) -> "ProjectCopy":
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{old!r} is not in {path}"
        return self.write(path, text.replace(old, new, 1))

    def place(self, path: str, text: str) -> str:
        """path:line:column of the first line that holds a text; the column is that of the text."""
        lines = (self.root / path).read_text(encoding="utf-8").splitlines()
        found = [(number, line.index(text)) for number, line in enumerate(lines, 1) if text in line]
        assert found, f"{text!r} is not in {path}"
        return f"{path}:{found[0][0]}:{found[0][1] + 1}"

    def rules(self, overrides: dict[str, dict[str, Decimal]] | None = None) -> RuleSet:
        return load_rules(self.project, RULE_TYPES, overrides)
