"""Compares joined tables with pandas.merge_asof. Arguments: the address of the
node's API, and a JSON list of joins: {"streams": [[name, id, type], …], "on" or
"every_us", "tolerance_us", "from", "to"}. Prints how many rows were compared."""

import io
import json
import sys
import urllib.parse
import urllib.request

import pandas
import polars
import pyarrow
import pyarrow.parquet

address, joins = sys.argv[1], json.loads(sys.argv[2])


def fetch(path, **query):
    query = urllib.parse.urlencode(query, safe=",")
    with urllib.request.urlopen(f"{address}{path}?{query}") as answer:
        return answer.read()


def stream(name, identity, kind):
    """The records by time; those of one time in the order of the stream."""
    table = pyarrow.parquet.read_table(
        io.BytesIO(fetch(f"/v1/streams/{identity}/observations", format="parquet")))
    frame = pandas.DataFrame({
        "time": pandas.array(table["time"].to_pylist(), dtype="datetime64[us, UTC]"),
        name: pandas.Series(table["value"].to_pylist(),
                            dtype="float64" if kind == "number" else "object"),
    })
    return frame.sort_values("time", kind="stable", ignore_index=True)


def expected(join):
    frames = [stream(*each) for each in join["streams"]]
    span = {key: pandas.Timestamp(join[key]) for key in ("from", "to") if key in join}
    tolerance = pandas.Timedelta(join["tolerance_us"], "us") if "tolerance_us" in join else None
    if "on" in join:
        left = next(frame for (name, identity, _), frame in zip(join["streams"], frames)
                    if identity == join["on"])
        rows = left
    else:
        step = pandas.Timedelta(join["every_us"], "us")
        times = pandas.concat([frame["time"] for frame in frames])
        first = span.get("from", times.min()).ceil(step)
        last = span["to"] - pandas.Timedelta(1, "us") if "to" in span else times.max().ceil(step)
        times = pandas.date_range(first, last, freq=step).astype("datetime64[us, UTC]")
        rows = pandas.DataFrame({"time": times})
    if "from" in span:
        rows = rows[rows["time"] >= span["from"]]
    if "to" in span:
        rows = rows[rows["time"] < span["to"]]
    for frame in frames:
        if "on" in join and frame is left:
            continue
        rows = pandas.merge_asof(rows, frame, on="time", tolerance=tolerance)
    return rows[["time"] + [name for name, _, _ in join["streams"]]].reset_index(drop=True)


def cells(frame, kinds):
    """Rows of plain values; what is not there is None."""
    columns = [[time.value for time in frame["time"].astype("datetime64[ns, UTC]")]]
    for (name, kind) in kinds:
        values = frame[name].tolist()
        columns.append([None if value is None or value != value else value for value in values])
    return [list(row) for row in zip(*columns)]


def of_arrow(table, kinds):
    # Polars has the large ones alone.
    types = {"number": {"double"}, "bytes": {"binary", "large_binary"}}
    for name, kind in kinds:
        wanted = types.get(kind, {"string", "large_string"})
        assert str(table.schema.field(name).type) in wanted, (name, table.schema)
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]", table.schema
    assert table["token"].null_count == table.num_rows, table["token"]
    frame = pandas.DataFrame({name: pandas.Series(table[name].to_pylist(), dtype="object")
                              for name in table.column_names})
    frame["time"] = pandas.array(table["time"].to_pylist(), dtype="datetime64[us, UTC]")
    return cells(frame, kinds)


compared = 0
for join in joins:
    kinds = [(name, kind) for name, _, kind in join["streams"]]
    wanted = cells(expected(join), kinds)
    query = {key: value for key, value in join.items() if key != "streams"}
    query["streams"] = ",".join(identity for _, identity, _ in join["streams"])
    parquet = pyarrow.parquet.read_table(io.BytesIO(fetch("/v1/join", format="parquet", **query)))
    arrow = pyarrow.ipc.open_stream(fetch("/v1/join", format="arrow", **query)).read_all()
    # By the address alone, as most users of Polars read.
    url = f"{address}/v1/join?{urllib.parse.urlencode(query, safe=',')}"
    feather = polars.read_ipc(f"{url}&format=feather").to_arrow()
    assert of_arrow(feather, kinds) == wanted, join
    assert polars.read_parquet(f"{url}&format=parquet").to_arrow().equals(feather), join
    frames = [
        polars.read_csv(f"{url}&format=csv", infer_schema=False),
        polars.scan_csv(f"{url}&format=csv", infer_schema=False).collect(),
    ]
    # Of no line at all Polars knows no column.
    if wanted:
        frames.append(polars.read_ndjson(f"{url}&format=ndjson", infer_schema_length=None))
    for frame in frames:
        assert frame.columns == ["time"] + [name for name, _ in kinds], frame.columns
        assert frame.height == len(wanted), join
    assert of_arrow(parquet, kinds) == wanted, join
    assert of_arrow(arrow, kinds) == wanted, join
    # Texts as they are; numbers as they were published.
    lines = fetch("/v1/join", format="ndjson", **query).decode().splitlines()
    objects = [json.loads(line) for line in lines]
    assert objects == json.loads(fetch("/v1/join", format="json", **query)), join
    csv = pandas.read_csv(io.BytesIO(fetch("/v1/join", format="csv", **query)))
    assert list(csv.columns) == ["time"] + [name for name, _ in kinds], csv.columns
    assert len(objects) == len(csv) == len(wanted), join
    for row, (name, kind) in ((row, each) for row in range(len(wanted)) for each in kinds):
        at = 1 + [name for name, _ in kinds].index(name)
        value, text = wanted[row][at], objects[row][name]
        if kind == "number":
            assert (value is None and text is None) or float(text) == value, (join, row, name)
        elif kind == "text":
            assert text == value, (join, row, name)
        elif kind == "json":
            assert (value is None and text is None) or json.loads(value) == text, (join, row, name)
        assert objects[row]["time"] == csv["time"][row]
    compared += len(wanted)
print(compared)
