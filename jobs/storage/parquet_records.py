"""Reads delivered Parquet files into the records that text files give: row number, original, text columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.kernel.errors import Issue, Location, SourceError
from jobs.storage.paths import file_system

ROWS = 50_000
# What Arrow says of files that are damaged.
DAMAGED = (OSError, ValueError, pa.ArrowException)


def open_parquet(path: str) -> pq.ParquetFile:
    """Opens a Parquet file.

    Raises:
        SourceError: When it is missing or is none.
    """
    try:
        system, inside = file_system(path)
        return pq.ParquetFile(system.open_input_file(inside))
    except FileNotFoundError:
        raise SourceError(Issue("FILE_MISSING", "No such file or directory", Location(path))) from None
    except DAMAGED as error:
        raise SourceError(Issue("FILE_UNDECODABLE", f"is no Parquet file: {error}", Location(path))) from None


def check_pages(file: pq.ParquetFile, path: str) -> None:
    """Decodes a file once, since only its end tells what it is.

    Raises:
        SourceError: When some of it is damaged.
    """
    message = ""
    try:
        for index, told, _ in row_groups(file):
            rows = 0
            for batch in file.iter_batches(ROWS, row_groups=[index]):
                # Texts too: Arrow takes their bytes as they come.
                batch.validate(full=True)
                rows += batch.num_rows
            if rows != told:
                message = f"has {rows} rows where it tells {told}"
    except DAMAGED as error:
        message = f"cannot be read: {error}"
    if message:
        raise SourceError(Issue("FILE_UNDECODABLE", message, Location(path)))


def text_columns(file: pq.ParquetFile) -> tuple[str, ...]:
    """Names of the columns that have a text; b of a structure a is a.b, and lists have none."""
    empty = _flat(file.schema_arrow.empty_table())
    return tuple(empty.schema.field(place).name for place in _text_places(empty.schema))


def row_groups(file: pq.ParquetFile) -> Iterator[tuple[int, int, int]]:
    """Place, rows and bytes of each row group."""
    for index in range(file.num_row_groups):
        group = file.metadata.row_group(index)
        yield index, group.num_rows, group.total_byte_size


def group_columns(path: str, index: int) -> Iterator[tuple[pa.Array, list[pa.Array]]]:
    """The rows of a row group in parts, as (a delimited record of each row, all text columns)."""
    file = open_parquet(path)
    for batch in file.iter_batches(ROWS, row_groups=[index]):
        table = _flat(pa.Table.from_batches([batch]))
        # By their places: names of columns that nothing uses may stand twice.
        places = _text_places(table.schema)
        texts = [table.column(place).combine_chunks().cast(pa.string()) for place in places]
        yield _records(texts, table.num_rows), texts


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


_NO_TEXT: Sequence[Callable[[pa.DataType], bool]] = (
    pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)  # fmt: skip


def _text_places(schema: pa.Schema) -> list[int]:
    return [place for place, field in enumerate(schema) if _has_text(field.type)]


def _has_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if any(check(inner) for check in _NO_TEXT):
        return False
    # That a time zone is none is found out only when a value is written.
    one = pa.array([0], pa.int64()).cast(inner) if pa.types.is_timestamp(inner) else pa.nulls(1, inner)
    try:
        one.cast(pa.string())
    except (pa.ArrowException, ValueError):
        return False
    return True


def _records(texts: list[pa.Array], rows: int) -> pa.Array:
    """Each row as a delimited record, every value in quotes; nothing stands for null."""
    if not texts:
        return pa.array([""] * rows)
    quoted = [
        pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "").fill_null("")
        for text in texts
    ]
    return pc.binary_join_element_wise(*quoted, ",")
