"""Reading files of user columns: Parquet or CSV, one row per image.

The key is the column `image_id`, or else `path`; a file with both ignores `path`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from imrec_core.errors import BadColumns
from imrec_core.lake.storage.files import AnyPath, read_bytes

KEYS = ("image_id", "path")


def read(file: AnyPath) -> tuple[str, pa.Array, pa.Table]:
    """Read a file of columns.

    Returns:
        The name of the key, its values, none empty, and the other columns, in types that Parquet and SQL share.

    Raises:
        BadColumns: The file cannot be read, has no key, or has a column of an unsupported type.
    """
    try:
        content = read_bytes(file)
        is_parquet = content.startswith(b"PAR1") or file.suffix.lower() == ".parquet"
        table = pq.read_table(pa.BufferReader(content)) if is_parquet else _read_csv(content)
        table.validate(full=True)  # Parquet may hold strings that are not UTF-8, on which DuckDB fails
        names = table.column_names
    except FileNotFoundError as error:
        raise BadColumns(file, f"there is no such file; to build without it: imrec build --without {file}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())  # Arrow's messages have several lines
        raise BadColumns(file, f"cannot be read ({reason}); expected Parquet, or CSV in UTF-8 with commas") from error
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise BadColumns(file, f"has no key column {' or '.join(KEYS)}; its columns are {names}")
    if names.count(key) > 1:
        raise BadColumns(file, f"has the column {key!r} twice; keep one")
    table = _plain(file, table.select([i for i, name in enumerate(names) if name == key or name not in KEYS]))
    at = table.column_names.index(key)
    return key, _check_keys(file, key, table.column(at)), table.remove_column(at)


def _read_csv(content: bytes) -> pa.Table:
    """Read CSV; types are inferred from the whole file, and empty fields are null."""
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(KEYS, pa.string()),  # an image_id of 16 digits is not a number
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for field in table.schema:
        if pa.types.is_binary(field.type):  # Arrow's type for strings in another encoding
            raise ValueError(f"column {field.name!r} is not UTF-8")
    return table


def _plain(file: AnyPath, table: pa.Table) -> pa.Table:
    """Cast a table to types that Parquet and SQL share."""
    fields = []
    for field in table.schema:
        kind = _plain_type(field.type)
        if kind is None:
            raise BadColumns(
                file,
                f"column {field.name!r} is {field.type}; expected strings, numbers, booleans, dates, times or lists "
                "of them: convert or remove it",
            )
        fields.append(pa.field(field.name, kind))
    try:
        return table.cast(pa.schema(fields))
    except pa.ArrowException as error:
        raise BadColumns(file, f"cannot be read ({error})") from error


def _plain_type(kind: pa.DataType) -> pa.DataType | None:
    """Find the plain type with the same values; None if there is none."""
    is_a = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if is_a.is_dictionary(kind) or is_a.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if is_a.is_null(kind) or is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return pa.string()
    if hasattr(kind, "value_field") and not is_a.is_nested(kind.value_type):  # every kind of list
        item = _plain_type(kind.value_type)
        return None if item is None else pa.list_(item)
    is_number = is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal128(kind)
    is_known = is_number or is_a.is_boolean(kind) or is_a.is_date(kind) or is_a.is_timestamp(kind) or is_a.is_time(kind)
    return kind if is_known else None


def _check_keys(file: AnyPath, key: str, keys: pa.ChunkedArray) -> pa.Array:
    if not pa.types.is_string(keys.type):
        raise BadColumns(file, f"column {key!r} is {keys.type}; expected strings")
    empty = pc.equal(pc.fill_null(keys, ""), "")
    if count := pc.sum(empty).as_py():
        row = pc.index(empty, True).as_py() + 1
        raise BadColumns(
            file, f"{count} of its rows have an empty {key}, the first is row {row}; fill in or remove them"
        )
    return pa.concat_arrays(keys.chunks) if keys.num_chunks else pa.array([], pa.string())
