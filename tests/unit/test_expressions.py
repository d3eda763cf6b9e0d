"""The closed expression language: what it reads, what it refuses, what it means, and its SQL."""

from datetime import date
from decimal import Decimal

import pytest

from jobs.expressions.check import is_boolean, type_of
from jobs.expressions.functions import COUNTED_FROM_AS_OF, FUNCTIONS
from jobs.expressions.nodes import Call, Literal, Name, Node, Parameter, is_supplied, names, parameters, walk
from jobs.expressions.parse import MAX_LENGTH, ExpressionProblem, parse
from jobs.expressions.sql import literal, quote, to_sql
from jobs.expressions.types import Type

A, B, C = Name("a"), Name("b"), Name("c")


def call(function: str, *arguments: Node) -> Call:
    return Call(function, arguments)


READ: list[tuple[str, Node]] = [
    ("a", A),
    ("`a b`", Name("a b")),
    ("`客户星级`", Name("客户星级")),
    ("balances.arrears", Name("arrears", "balances")),
    (":drop_pct", Parameter("drop_pct")),
    (":and", Parameter("and")),
    ("12", Literal(12)),
    ("1e5", Literal(100_000)),
    ("1.50", Literal(Decimal("1.50"))),
    (".5", Literal(Decimal("0.5"))),
    ("-3", Literal(-3)),
    ("-1.5", Literal(Decimal("-1.5"))),
    ("- -3", Literal(3)),
    ("123456789012345678", Literal(123456789012345678)),
    ("0.1234567890", Literal(Decimal("0.1234567890"))),
    ("'text'", Literal("text")),
    ("'it''s'", Literal("it's")),
    ("''", Literal("")),
    ("true", Literal(True)),
    ("FALSE", Literal(False)),
    ("null", Literal(None)),
    ("date '2028-02-29'", Literal(date(2028, 2, 29))),
    ("((a))", A),
    ("-a", call("negate", A)),
    ("not a", call("not", A)),
    ("a + b - c", call("subtract", call("add", A, B), C)),
    ("a + b * c", call("add", A, call("multiply", B, C))),
    ("(a + b) / c", call("divide", call("add", A, B), C)),
    ("a = b", call("eq", A, B)),
    ("a == b", call("eq", A, B)),
    ("a <> b", call("ne", A, B)),
    ("a != b", call("ne", A, B)),
    ("a < b", call("lt", A, B)),
    ("a <= b", call("le", A, B)),
    ("a > b", call("gt", A, B)),
    ("a >= b", call("ge", A, B)),
    ("a and b and c", call("and", A, B, C)),
    ("a and b or c", call("or", call("and", A, B), C)),
    ("a and (b or c)", call("and", A, call("or", B, C))),
    ("a in ('x', 'y')", call("in", A, Literal("x"), Literal("y"))),
    ("a not in (1)", call("not", call("in", A, Literal(1)))),
    ("a is null", call("is_null", A)),
    ("a is not null", call("not", call("is_null", A))),
    ("a between 1 and b", call("and", call("ge", A, Literal(1)), call("le", A, B))),
    ("case when a then b end", call("case", A, B, Literal(None))),
    (
        "case when a then 1 when b then 2 else 3 end",
        call("case", A, *map(Literal, [1]), B, Literal(2), Literal(3)),
    ),
    ("days_until_month_day(a)", call("days_until_month_day", A, Name("as_of"))),
    ("measure(calls, '7d')", call("measure", Name("calls"), Literal("7d"))),
    ("a + 1 -- a note", call("add", A, Literal(1))),
    ("a /* a note */ + 1", call("add", A, Literal(1))),
    ("a\n  and b", call("and", A, B)),
    ("COALESCE(a, b)", call("coalesce", A, B)),
]


@pytest.mark.parametrize(("text", "tree"), READ, ids=[text for text, _ in READ])
def test_what_is_read(text: str, tree: Node) -> None:
    assert parse(text) == tree


OPERATORS = {"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "in", "add", "subtract", "multiply"} | {
    "divide", "negate", "case", "is_null"
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - OPERATORS))
def test_every_function_is_called_by_its_name(name: str) -> None:
    own = 1 if name in COUNTED_FROM_AS_OF else FUNCTIONS[name].least
    tree = parse(f"{name}({', '.join(['a'] * own)})")
    assert isinstance(tree, Call)
    assert tree.function == name
    assert to_sql(tree)
    with pytest.raises(ExpressionProblem) as caught:
        parse(f"{name}({', '.join(['a'] * 60)})")
    assert caught.value.code == "EXPR_NOT_ALLOWED"


NOT_ALLOWED, SYNTAX, LITERAL, UNKNOWN = (
    "EXPR_NOT_ALLOWED",
    "EXPR_SYNTAX",
    "EXPR_BAD_LITERAL",
    "EXPR_UNKNOWN_FUNCTION",
)
REFUSED: list[tuple[str, str, str]] = [
    ("(select 1)", NOT_ALLOWED, "is not part of the expression language"),
    ("exists (select 1)", NOT_ALLOWED, "is not part"),
    ("a in (select b from c)", NOT_ALLOWED, "'in' takes a list of values, not a query"),
    ("select 1", NOT_ALLOWED, "is not part"),
    ("a; drop table x", NOT_ALLOWED, "is not part"),
    ("drop table x", NOT_ALLOWED, "is not part"),
    ("cast(a as string)", NOT_ALLOWED, ""),
    ("try_cast(a as int)", NOT_ALLOWED, ""),
    ("a::int", NOT_ALLOWED, "casts are not allowed; use number(), text() or date()"),
    ("timestamp '2026-01-01 00:00:00'", NOT_ALLOWED, "casts are not allowed"),
    ("interval 1 day", NOT_ALLOWED, "is not part"),
    ("coalesc(a, b)", UNKNOWN, "'coalesc' is not an allowed function (did you mean 'coalesce'?)"),
    ("reflect('java.lang.System', 'exit', 1)", UNKNOWN, "'reflect' is not an allowed function"),
    ("java_method('java.lang.System', 'exit', 1)", UNKNOWN, "'java_method' is not an allowed function"),
    ("current_timestamp()", UNKNOWN, "'current_timestamp' is not an allowed function"),
    ("rand()", UNKNOWN, "'rand' is not an allowed function"),
    ("uuid()", UNKNOWN, "'uuid'"),
    ("input_file_name()", UNKNOWN, "'input_file_name'"),
    ("array(1, 2)", UNKNOWN, "'array'"),
    ("count(a)", UNKNOWN, "'count' is not an allowed function"),
    ("sum(a) over (partition by b)", NOT_ALLOWED, "is not part"),
    ("row_number() over (order by a)", NOT_ALLOWED, "is not part"),
    ("filter(a, x -> x > 1)", NOT_ALLOWED, "is not part"),
    ("x -> x + 1", NOT_ALLOWED, "is not part"),
    ("a.abs(b)", NOT_ALLOWED, "is not part"),
    ("a like 'x%'", NOT_ALLOWED, "is not part"),
    ("a rlike 'x'", NOT_ALLOWED, "is not part"),
    ("a || b", NOT_ALLOWED, "is not part"),
    ("a % b", NOT_ALLOWED, "is not part"),
    ("a & b", NOT_ALLOWED, "is not part"),
    ("~a", NOT_ALLOWED, "is not part"),
    ("a <=> b", NOT_ALLOWED, "is not part"),
    ("a is true", NOT_ALLOWED, "only 'is null' is allowed"),
    ("a[0]", NOT_ALLOWED, "is not part"),
    ("*", NOT_ALLOWED, "is not part"),
    ("(1, 2)", NOT_ALLOWED, "is not part"),
    ("a as b", NOT_ALLOWED, "is not part"),
    ("a b", NOT_ALLOWED, "is not part"),
    ("a.b.c", NOT_ALLOWED, "'a.b.c' has too many parts"),
    ("case a when 1 then 2 end", NOT_ALLOWED, "write 'case when <condition> then ...'"),
    ("a in ()", NOT_ALLOWED, "'in' takes at least 2 arguments, not 1"),
    ("abs(a, b)", NOT_ALLOWED, "'abs' takes 1 arguments, not 2"),
    ("if(a, b)", NOT_ALLOWED, "'if' takes 3 arguments, not 2"),
    ("{{ a }}", NOT_ALLOWED, "is not part"),
    ("${a}", NOT_ALLOWED, "is not part"),
    (" + ".join(["a"] * 220), NOT_ALLOWED, "has more than 400 parts"),
    ("a" * (MAX_LENGTH + 1), NOT_ALLOWED, "is longer than 2000 characters"),
    ("a in (" + ", ".join(str(i) for i in range(400)) + ")", NOT_ALLOWED, "has more than 400 parts"),
    ("1234567890123456789", LITERAL, "'1234567890123456789' has too many digits"),
    ("1e30", LITERAL, "'1e30' has too many digits"),
    ("0.12345678901", LITERAL, "has too many digits"),
    ("date '2026-02-29'", LITERAL, "'2026-02-29' is not a date"),
    ("", SYNTAX, "cannot be parsed"),
    ("   ", SYNTAX, "cannot be parsed"),
    ("-- nothing but a note", SYNTAX, "cannot be parsed"),
    ("a +", SYNTAX, "cannot be parsed"),
    ("(a", SYNTAX, "cannot be parsed"),
    ("a, b", SYNTAX, "cannot be parsed"),
    ("'open", SYNTAX, "cannot be parsed"),
    ('"a"', SYNTAX, "cannot be parsed"),
    ("'a\\'b'", SYNTAX, "cannot be parsed"),
    ("x'41'", SYNTAX, "cannot be parsed"),
    ("{% x %}", SYNTAX, "cannot be parsed"),
    ("trim(both 'x' from a)", SYNTAX, "cannot be parsed"),
    ("extract(year from a)", SYNTAX, "cannot be parsed"),
    ("(" * 500 + "a" + ")" * 500, SYNTAX, "maximum recursion depth exceeded"),
]


@pytest.mark.parametrize(
    ("text", "code", "message"), REFUSED, ids=[text[:40] or "nothing" for text, _, _ in REFUSED]
)
def test_what_is_refused(text: str, code: str, message: str) -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse(text)
    assert caught.value.code == code
    assert message in str(caught.value)


def test_a_long_chain_is_refused_and_no_crash() -> None:
    with pytest.raises(ExpressionProblem):
        parse("+".join(["a"] * 900))


def test_too_many_arguments_are_named_so() -> None:
    with pytest.raises(ExpressionProblem, match="'round' takes 1 to 2 arguments, not 3"):
        parse("round(a, b, c)")


@pytest.mark.parametrize("text", ["x -> x + 1", "cast(a as string)"])
def test_what_was_refused_is_shown_as_written(text: str) -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse(text)
    assert "GET_JSON_OBJECT" not in str(caught.value)
    assert "'a AS string'" not in str(caught.value)


DECIMALS = "try_cast({} AS DECIMAL(28,8))"
SQL: list[tuple[str, str]] = [
    ("a", "`a`"),
    ("balances.arrears", "`balances`.`arrears`"),
    ("a + b - 1", "try_subtract(try_add(`a`, `b`), 1)"),
    ("a * -b", "try_multiply(`a`, try_subtract(0, `b`))"),
    ("a / b", "try_divide(try_cast(`a` AS DECIMAL(28,8)), try_cast(`b` AS DECIMAL(20,4)))"),
    ("a = 'x' and (b or not c)", "((`a` = 'x') AND (`b` OR (NOT `c`)))"),
    ("a <> 1.50", "(`a` <> 1.50BD)"),
    ("a in (1, 2)", "(`a` IN (1, 2))"),
    ("a is not null", "(NOT (`a` IS NULL))"),
    ("a between 1 and 2", "((`a` >= 1) AND (`a` <= 2))"),
    ("case when a then 1 else 2 end", "CASE WHEN `a` THEN 1 ELSE 2 END"),
    ("greatest(a, 0)", "CASE WHEN `a` IS NULL OR 0 IS NULL THEN NULL ELSE greatest(`a`, 0) END"),
    ("least(a, b, c)", "CASE WHEN `a` IS NULL OR `b` IS NULL OR `c` IS NULL THEN NULL ELSE least(`a`, `b`, `c`) END"),
    ("coalesce(a, b)", "coalesce(`a`, `b`)"),
    ("number(a)", "try_cast(`a` AS DECIMAL(28,8))"),
    ("date(a)", "try_cast(`a` AS DATE)"),
    ("parse_date(a, 'yyyyMMdd')", "cast(try_to_timestamp(`a`, 'yyyyMMdd') AS DATE)"),
    ("days_between(a, b)", "datediff(`b`, `a`)"),
    ("add_days(a, -1)", "date_add(`a`, try_cast(-1 AS INT))"),
    ("add_seconds(a, 90)", "timestampadd(SECOND, try_cast(90 AS INT), cast(`a` AS TIMESTAMP))"),
    ("text(a)", "cast(`a` AS STRING)"),
    ("a >= date '2026-05-31'", "(`a` >= DATE'2026-05-31')"),
    (
        "days_until_month_day(a)",
        "CASE WHEN coalesce(try_cast(concat(year(`as_of`), '-', `a`) AS DATE), CASE WHEN `a` = '02-29' THEN "
        "make_date(year(`as_of`), 2, 28) END) >= `as_of` THEN datediff(coalesce(try_cast(concat(year(`as_of`), "
        "'-', `a`) AS DATE), CASE WHEN `a` = '02-29' THEN make_date(year(`as_of`), 2, 28) END), `as_of`) ELSE "
        "datediff(coalesce(try_cast(concat((year(`as_of`) + 1), '-', `a`) AS DATE), CASE WHEN `a` = '02-29' THEN "
        "make_date((year(`as_of`) + 1), 2, 28) END), `as_of`) END",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sql"), SQL, ids=[text for text, _ in SQL])
def test_spark_sql(text: str, sql: str) -> None:
    assert to_sql(parse(text)) == sql


def test_names_and_parameters_are_written_by_the_caller() -> None:
    sql = to_sql(parse("a <= -:drop"), lambda name: f"x_{name}", lambda name: f"[{name}]")
    assert sql == "(x_a <= try_subtract(0, [drop]))"
    with pytest.raises(KeyError, match="drop"):
        to_sql(parse(":drop"))


def test_nothing_escapes_its_quotes() -> None:
    assert literal("a' OR 1=1 --") == "'a\\' OR 1=1 --'"
    assert literal("a\\' OR") == "'a\\\\\\' OR'"
    assert quote("a` OR `b") == "`a`` OR ``b`"
    assert to_sql(parse("`x`` y` = 'it''s'")) == "(`x`` y` = 'it\\'s')"


TYPES = {
    "yuan": Type("decimal", "yuan"),
    "yuan2": Type("decimal", "yuan"),
    "minute": Type("decimal", "minute"),
    "percent": Type("decimal", "percent"),
    "bare": Type("decimal"),
    "whole": Type("integer", "count"),
    "text": Type("string"),
    "day": Type("date"),
    "flag": Type("boolean"),
}


def kind(text: str) -> str:
    return str(type_of(parse(text), lambda name: TYPES[name.name], lambda name: Type("decimal", name)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yuan + yuan2", "decimal in yuan"),
        ("yuan - 1", "decimal in yuan"),
        ("yuan * 2", "decimal in yuan"),
        ("yuan / 30", "decimal in yuan"),
        ("yuan / yuan2", "decimal"),
        ("yuan / minute", "decimal"),
        ("yuan * minute", "decimal"),
        ("whole * 2", "integer in count"),
        ("whole / 2", "decimal in count"),
        ("percent >= 20", "boolean"),
        ("percent <= -:percent", "boolean"),
        ("100 * (yuan - yuan2) / yuan2", "decimal"),
        ("coalesce(yuan, 0)", "decimal in yuan"),
        ("coalesce(null, text)", "string"),
        ("greatest(whole, 1.5)", "decimal in count"),
        ("case when flag then yuan else null end", "decimal in yuan"),
        ("if(flag, text, 'x')", "string"),
        ("days_between(day, day)", "integer in day"),
        ("year(day)", "integer"),
        ("number(text)", "decimal"),
        ("text(yuan)", "string"),
        ("yuan is null", "boolean"),
        ("text in ('a', 'b')", "boolean"),
        ("null", "null"),
        ("flag and null", "boolean"),
        ("round(yuan, 1)", "decimal in yuan"),
        ("-minute", "decimal in minute"),
        ("date(text)", "date"),
    ],
)
def test_types_and_units(text: str, expected: str) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("yuan >= minute", "EXPR_UNIT", "a comparison mixes the units minute and yuan"),
        ("yuan + minute", "EXPR_UNIT", "a sum mixes the units minute and yuan"),
        ("percent > yuan", "EXPR_UNIT", "a comparison mixes the units percent and yuan"),
        ("yuan < :minute", "EXPR_UNIT", "a comparison mixes the units minute and yuan"),
        ("coalesce(yuan, minute)", "EXPR_UNIT", "coalesce mixes the units minute and yuan"),
        ("greatest(yuan, minute)", "EXPR_UNIT", "greatest mixes the units minute and yuan"),
        ("if(flag, yuan, minute)", "EXPR_UNIT", "if mixes the units minute and yuan"),
        ("case when flag then yuan when flag then minute end", "EXPR_UNIT", "case mixes the units"),
        ("yuan = 'x'", "EXPR_TYPE", "a comparison mixes number and string"),
        ("text in (1, 2)", "EXPR_TYPE", "a comparison mixes number and string"),
        ("day > text", "EXPR_TYPE", "a comparison mixes date and string"),
        ("yuan + text", "EXPR_TYPE", "arithmetic needs integer or decimal, not string"),
        ("yuan and flag", "EXPR_TYPE", "and, or, not needs boolean, not decimal"),
        ("not text", "EXPR_TYPE", "and, or, not needs boolean, not string"),
        ("case when yuan then 1 end", "EXPR_TYPE", "when needs boolean, not decimal"),
        ("if(yuan, 1, 2)", "EXPR_TYPE", "if needs boolean, not decimal"),
        ("lower(yuan)", "EXPR_TYPE", "a text function needs string, not decimal"),
        ("year(text)", "EXPR_TYPE", "year needs date or timestamp, not string"),
        ("days_between(day, text)", "EXPR_TYPE", "days_between needs date, not string"),
        ("abs(text)", "EXPR_TYPE", "abs needs integer or decimal, not string"),
        ("measure(a, '7d')", "EXPR_NOT_ALLOWED", "'measure' cannot be used here"),
    ],
)
def test_what_does_not_fit(text: str, code: str, message: str) -> None:
    with pytest.raises(ExpressionProblem) as caught:
        kind(text)
    assert caught.value.code == code
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "add_days(text, flag)",
        "add_seconds(text, 1)",
        "substring(yuan, 1, 2)",
        "substring(text, 'a', 'b')",
        "days_until_month_day(yuan)",
        "days_until_lunar_month_day(yuan)",
    ],
)
def test_functions_without_a_type_rule(text: str) -> None:
    types = {**TYPES, "as_of": Type("date")}
    with pytest.raises(ExpressionProblem):
        type_of(parse(text), lambda name: types[name.name])


def test_parameters_need_a_place_where_they_may_stand() -> None:
    with pytest.raises(ExpressionProblem, match=":x is not a parameter here") as caught:
        type_of(parse("yuan > :x"), lambda name: TYPES[name.name])
    assert caught.value.code == "EXPR_UNKNOWN_NAME"


def test_is_boolean() -> None:
    assert is_boolean(parse("yuan > 1"), lambda name: TYPES[name.name])
    assert not is_boolean(parse("yuan"), lambda name: TYPES[name.name])


def test_names_and_parameters_once_in_order() -> None:
    tree = parse("b > :y and a.b > :x and b < a and c = :y")
    assert names(tree) == [Name("b"), Name("b", "a"), Name("a"), Name("c")]
    assert parameters(tree) == ["y", "x"]
    assert sum(1 for _ in walk(tree)) == 13


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("x", False),
        ("a + x", False),
        ("coalesce(a, x)", True),
        ("coalesce(x, y)", False),
        ("coalesce(x, 0)", True),
        ("coalesce(x, a) + y", False),
        ("coalesce(a + x, b)", True),
        ("a > 1 or x > 1", False),
        ("case when x then a else b end", False),
        ("if(a, b, x)", False),
        ("1 = 1", True),
        (":p > 1", True),
    ],
)
def test_is_supplied(text: str, expected: bool) -> None:
    assert is_supplied(parse(text), lambda name: name.name in ("a", "b")) is expected
