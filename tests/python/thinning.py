"""Compares rows of spans of time with those that follow from all records, in exact
fractions. Arguments: the address of a stream with columns of numbers and texts, as a
JSON object the type of each column, and a list of spans in seconds. Prints how many rows
were compared."""

import datetime
import io
import json
import sys
import urllib.parse
import urllib.request
from fractions import Fraction

import pandas
import polars
import pyarrow

address, types, spans = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def fetch(**query):
    query = urllib.parse.urlencode(query, safe=",")
    with urllib.request.urlopen(f"{address}?{query}") as answer:
        return answer.read()


def micros(text):
    return (datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH) // MICROSECOND


def value(how, cells):
    """What the cells of one column and span are as one."""
    cells = [cell for cell in cells if cell is not None]
    if how == "count":
        return len(cells)
    if not cells:
        return None
    match how:
        case "mean":
            return float(sum(map(Fraction, cells)) / len(cells))
        case "min":
            return min(cells)
        case "max":
            return max(cells)
        case "first":
            return cells[0]
        case "last":
            return cells[-1]


records = [json.loads(line) for line in fetch(format="ndjson").splitlines()]
records.sort(key=lambda record: micros(record["time"]))
numbers = [name for name, kind in types.items() if kind in ("number", "integer")]


def expected(seconds, how, columns):
    found = {}
    for record in records:
        start = micros(record["time"]) // (seconds * 1_000_000) * seconds
        found.setdefault(start, []).append(record)
    for start, span in found.items():
        usual = {name: how or ("mean" if name in numbers else "last") for name in columns}
        yield {"time": start * 1_000_000} | {
            name: value(usual[name], [record[name] for record in span]) for name in columns
        }


def frame(read):
    rows = read.to_dict("records") if isinstance(read, pandas.DataFrame) else read.to_dicts()
    for row in rows:
        row["time"] = (row["time"] - EPOCH) // MICROSECOND
        assert row.pop("token", None) is None
        yield {name: None if cell is pandas.NaT or cell != cell else cell for name, cell in row.items()}


compared = 0
for seconds in spans:
    for how in (None, "mean", "min", "max", "first", "last", "count"):
        columns = numbers if how in ("mean", "min", "max") else list(types)
        query = {"every": f"{seconds}s", "columns": ",".join(columns)}
        if how:
            query["agg"] = how
        wanted = list(expected(seconds, how, columns))
        rows = json.loads(fetch(format="json", **query))
        for row in rows:
            row["time"] = micros(row["time"])
        assert rows == wanted, f"{query}: {rows[:3]} and not {wanted[:3]}"
        assert [list(row) for row in rows] == [["time", *columns]] * len(rows)
        parquet = polars.read_parquet(io.BytesIO(fetch(format="parquet", **query)))
        assert list(frame(parquet)) == wanted, f"{query}: {parquet}"
        arrow = pyarrow.ipc.open_stream(fetch(format="arrow", **query)).read_all()
        assert list(frame(polars.from_arrow(arrow))) == wanted, f"{query}: {arrow}"
        text = pandas.read_csv(io.BytesIO(fetch(format="csv", **query)), parse_dates=["time"])
        assert list(text.columns) == ["time", *columns] and len(text) == len(wanted)
        compared += len(wanted)
print(compared)
