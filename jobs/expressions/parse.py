"""From text to tree. sqlglot does the grammar; what is not on the allow-list is an issue, not a feature."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import ClassVar

import sqlglot
from sqlglot import Dialect, exp, parser, tokens
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from jobs.expressions.functions import COUNTED_FROM_AS_OF, FUNCTIONS
from jobs.expressions.nodes import Call, Literal, Name, Node, Parameter, walk
from jobs.kernel.cycle import parse_date
from jobs.kernel.errors import CycleError, did_you_mean

# Calls that only the catalogue of items knows; it makes names of them.
CATALOGUE_CALLS = ("measure", "at_start", "at_end")
MAX_LENGTH = 2_000
MAX_NODES = 400
MAX_DEPTH = 100
MAX_DIGITS = 18


class ExpressionProblem(Exception):
    """Why an expression was refused: a code of the catalogue and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_BINARY: dict[type[exp.Expr], str] = {
    exp.EQ: "eq",
    exp.NEQ: "ne",
    exp.LT: "lt",
    exp.LTE: "le",
    exp.GT: "gt",
    exp.GTE: "ge",
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.And: "and",
    exp.Or: "or",
}


# What Spark's dialect would spell otherwise than the user did.
_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Alias: "as",
    exp.JSONExtract: "->",
    exp.JSONExtractScalar: "->>",
}


class _Language(Dialect):
    """SQL's expression grammar with no function of its own: every call arrives as a plain name."""

    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar = ["`"]
        QUOTES: ClassVar = ["'"]

    class Parser(parser.Parser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {}
        NO_PAREN_FUNCTIONS: ClassVar = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            name: parse_it
            for name, parse_it in parser.Parser.NO_PAREN_FUNCTION_PARSERS.items()
            if name == "CASE"
        }
        # A parameter may be named like a keyword: sqlglot alone would refuse `:drop`.
        PLACEHOLDER_PARSERS: ClassVar = {
            TokenType.COLON: lambda self: (
                self.expression(exp.Placeholder(this=self._prev.text)) if self._advance_any() else None
            )
        }


@lru_cache(maxsize=20_000)
def parse(text: str) -> Node:
    """Parses one expression.

    Example:
        >>> parse("bill_total_1m <= -:drop")
        Call(function='le', arguments=(Name(name='bill_total_1m', table=None), Call(function='negate', \
arguments=(Parameter(name='drop'),))))

    Raises:
        ExpressionProblem: When it is not in the language.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"is longer than {MAX_LENGTH} characters")
    try:
        tree = sqlglot.parse_one(text, dialect=_Language)
    except (SqlglotError, RecursionError) as error:
        raise ExpressionProblem("EXPR_SYNTAX", _first_sentence(error)) from None
    try:
        node = _convert(tree)
        # Counting stops early: nested betweens double what is inside them.
        parts = sum(1 for _ in islice(walk(node), MAX_NODES + 1))
    except RecursionError:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", "is nested too deeply") from None
    if parts > MAX_NODES:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"has more than {MAX_NODES} parts")
    # All that comes later walks the tree by recursion.
    if _depth(node) > MAX_DEPTH:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"is nested more than {MAX_DEPTH} deep")
    return node


def _depth(node: Node) -> int:
    depth, level = 0, [node]
    while level:
        level = [argument for one in level if isinstance(one, Call) for argument in one.arguments]
        depth += 1
    return depth


def _first_sentence(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else "cannot be parsed"
    return "cannot be parsed: " + text.split(". Line")[0]


def _convert(tree: exp.Expr) -> Node:
    for kind, convert in _CONVERTERS.items():
        if type(tree) is kind:
            return convert(tree)
    if (operator := _BINARY.get(type(tree))) is not None:
        return _binary(operator, tree)
    raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{_shown(tree)}' is not part of the expression language")


def _shown(tree: exp.Expr) -> str:
    text = _OPERATORS.get(type(tree)) or tree.sql(dialect="spark")
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_function(name: str) -> ExpressionProblem:
    hint = did_you_mean(name, FUNCTIONS)
    return ExpressionProblem("EXPR_UNKNOWN_FUNCTION", f"'{name}' is not an allowed function{hint}")


def _checked(name: str, arguments: list[Node]) -> Node:
    if name in CATALOGUE_CALLS:
        return Call(name, tuple(arguments))
    if name in COUNTED_FROM_AS_OF:
        arguments = [*arguments, Name("as_of")]
    function = FUNCTIONS.get(name)
    if function is None:
        raise _unknown_function(name)
    if not function.least <= len(arguments) <= function.most:
        expected = str(function.least) if function.least == function.most else f"at least {function.least}"
        if function.least < function.most < len(arguments):
            expected = f"{function.least} to {function.most}"
        message = f"'{name}' takes {expected} arguments, not {len(arguments)}"
        raise ExpressionProblem("EXPR_NOT_ALLOWED", message)
    return Call(name, tuple(arguments))


def _binary(operator: str, tree: exp.Expr) -> Node:
    left, right = _convert(tree.this), _convert(tree.expression)
    if operator in ("and", "or"):
        # a AND b AND c is one call of three arguments, which reads better and nests less.
        flat: list[Node] = []
        for side in (left, right):
            same = isinstance(side, Call) and side.function == operator
            flat.extend(side.arguments if isinstance(side, Call) and same else [side])
        return Call(operator, tuple(flat))
    return Call(operator, (left, right))


def _literal(tree: exp.Expr) -> Node:
    if tree.is_string:
        return Literal(tree.name)
    number = Decimal(tree.name)
    if number.adjusted() >= MAX_DIGITS or -int(number.as_tuple().exponent) > 10:
        raise ExpressionProblem("EXPR_BAD_LITERAL", f"'{tree.name}' has too many digits")
    return Literal(int(number) if number == number.to_integral_value() and "." not in tree.name else number)


def _column(tree: exp.Expr) -> Node:
    if tree.args.get("db") or tree.args.get("catalog"):
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{_shown(tree)}' has too many parts")
    if not isinstance(tree.this, exp.Identifier):
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{_shown(tree)}' is not a name")
    return Name(tree.this.name, tree.args["table"].name if tree.args.get("table") else None)


def _parameter(tree: exp.Expr) -> Node:
    if not isinstance(tree.this, str) or not tree.this:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{_shown(tree)}' is not a parameter; write :name")
    return Parameter(tree.this)


def _in(tree: exp.Expr) -> Node:
    if tree.args.get("query") is not None or tree.args.get("unnest") is not None:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", "'in' takes a list of values, not a query")
    return _checked("in", [_convert(tree.this), *(_convert(part) for part in tree.expressions)])


def _is(tree: exp.Expr) -> Node:
    if not isinstance(tree.expression, exp.Null):
        raise ExpressionProblem("EXPR_NOT_ALLOWED", f"'{_shown(tree)}': only 'is null' is allowed")
    return Call("is_null", (_convert(tree.this),))


def _between(tree: exp.Expr) -> Node:
    value = _convert(tree.this)
    low, high = _convert(tree.args["low"]), _convert(tree.args["high"])
    return Call("and", (Call("ge", (value, low)), Call("le", (value, high))))


def _case(tree: exp.Expr) -> Node:
    if tree.this is not None:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", "write 'case when <condition> then ...'")
    arguments: list[Node] = []
    for branch in tree.args["ifs"]:
        arguments += [_convert(branch.this), _convert(branch.args["true"])]
    default = tree.args.get("default")
    return _checked("case", [*arguments, _convert(default) if default is not None else Literal(None)])


def _cast(tree: exp.Expr) -> Node:
    # DATE '2026-05-31' is read by sqlglot as a cast of a text literal.
    is_date = tree.args["to"].this == exp.DataType.Type.DATE and tree.this.is_string
    if not is_date:
        raise ExpressionProblem("EXPR_NOT_ALLOWED", "casts are not allowed; use number(), text() or date()")
    try:
        return Literal(parse_date(tree.this.name))
    except CycleError:
        raise ExpressionProblem("EXPR_BAD_LITERAL", f"'{tree.this.name}' is not a date") from None


def _anonymous(tree: exp.Expr) -> Node:
    return _checked(tree.name.lower(), [_convert(part) for part in tree.expressions])


_CONVERTERS: dict[type[exp.Expr], Callable[[exp.Expr], Node]] = {
    exp.Literal: _literal,
    exp.Boolean: lambda tree: Literal(bool(tree.this)),
    exp.Null: lambda tree: Literal(None),
    exp.Column: _column,
    exp.Placeholder: _parameter,
    exp.Parameter: _parameter,
    exp.Paren: lambda tree: _convert(tree.this),
    exp.Neg: lambda tree: _negate(_convert(tree.this)),
    exp.Not: lambda tree: Call("not", (_convert(tree.this),)),
    exp.In: _in,
    exp.Is: _is,
    exp.Between: _between,
    exp.Case: _case,
    exp.Cast: _cast,
    exp.Anonymous: _anonymous,
}


def _negate(node: Node) -> Node:
    if isinstance(node, Literal) and isinstance(node.value, int | Decimal):
        return Literal(-node.value)
    return Call("negate", (node,))
