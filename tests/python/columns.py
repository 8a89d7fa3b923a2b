"""Reads a stream as its users do: pandas, pyarrow and Polars, from files and over
HTTP, by the address alone where they can. Arguments: the address of a stream's observations, the type of its values,
the folder with its exports. Prints what was read, one JSON object; the caller
knows what it must be."""

import io
import json
import sys
import urllib.request

import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.parquet

address, value_type, folder = sys.argv[1:]


def fetch(query):
    with urllib.request.urlopen(f"{address}?{query}") as answer:
        return answer.read()


def plain(value):
    return value.hex() if isinstance(value, bytes) else value


def rows(table):
    """The rows of a pyarrow table, with times in microseconds."""
    columns = [
        table["index"].to_pylist(),
        table["time"].cast(pyarrow.int64()).to_pylist(),
        [plain(value) for value in table["value"].to_pylist()],
    ]
    return [list(row) for row in zip(*columns)]


def types(table):
    return [str(table.schema.field(name).type) for name in ("index", "time", "value")]


def of_polars(frame):
    return rows(frame.select("index", "time", "value").to_arrow())


def of_texts(frame):
    """The rows of a text format, with times in microseconds and values as text."""
    times = frame["time"].str.to_datetime(time_unit="us", time_zone="UTC").dt.timestamp("us")
    values = [json.dumps(value) for value in frame["value"].to_list()]
    return [list(row) for row in zip(frame["index"].to_list(), times.to_list(), values)]


parquet = f"{address}?format=parquet"
feather = f"{address}?format=feather"
arrow = pyarrow.ipc.open_stream(fetch("format=arrow")).read_all()
whole = pyarrow.parquet.read_table(io.BytesIO(fetch("format=parquet")))
frame = pandas.read_parquet(parquet)
lazy = polars.scan_parquet(parquet)
readings = {
    "arrow over HTTP": rows(arrow),
    "parquet over HTTP": rows(whole),
    "pandas over HTTP": rows(pyarrow.Table.from_pandas(frame)),
    "Polars over HTTP": of_polars(polars.read_parquet(parquet)),
    "Polars in parts": of_polars(lazy.filter(polars.col("index") >= 0).collect()),
    "Polars from Arrow": of_polars(polars.read_ipc_stream(io.BytesIO(fetch("format=arrow")))),
    "parquet file": rows(pyarrow.parquet.read_table(f"{folder}/export.parquet")),
    "file with proof": rows(pyarrow.parquet.read_table(f"{folder}/proved.parquet")),
    "arrow file": rows(pyarrow.ipc.open_stream(f"{folder}/export.arrow").read_all()),
    "feather file": rows(pyarrow.feather.read_table(f"{folder}/export.feather")),
    "feather over HTTP": rows(pyarrow.Table.from_pandas(pandas.read_feather(feather))),
    "Polars' read_ipc": of_polars(polars.read_ipc(feather)),
    "Polars' read_ipc_stream": of_polars(polars.read_ipc_stream(f"{address}?format=arrow")),
}
first = readings["arrow over HTTP"]
for name, read in readings.items():
    if read != first:
        sys.exit(f"{name} gives other rows: {read[:3]}… instead of {first[:3]}…")
# Texts are typed by their reader; of an empty one it knows nothing.
if first and value_type in ("number", "text"):
    csv, ndjson = f"{address}?format=csv", f"{address}?format=ndjson"
    texts = {
        "Polars' read_csv": polars.read_csv(csv),
        "Polars' scan_csv": polars.scan_csv(csv).collect(),
        "Polars' read_ndjson": polars.read_ndjson(ndjson),
    }
    wanted = [[index, time, json.dumps(value)] for index, time, value in first]
    for name, table in texts.items():
        if value_type == "number":
            table = table.with_columns(polars.col("value").cast(polars.Float64))
        if of_texts(table) != wanted:
            sys.exit(f"{name} gives other rows: {of_texts(table)[:3]}… instead of {wanted[:3]}…")
print(
    json.dumps(
        {
            "rows": len(first),
            "first": first[:5],
            "types": types(arrow),
            "parquet_types": types(whole),
            "tokens": [
                [index, token]
                for table in (arrow, whole)
                if "token" in table.column_names
                for index, token in zip(table["index"].to_pylist(), table["token"].to_pylist())
                if token is not None
            ],
            "pandas_types": [str(frame[name].dtype) for name in frame.columns],
            "row_groups": pyarrow.parquet.ParquetFile(f"{folder}/export.parquet").num_row_groups,
            "value_type": value_type,
        }
    )
)
