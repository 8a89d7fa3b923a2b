"""Writes one table as its users do: pandas, pyarrow and Polars, in the ways in which
files are packed, and tables that no stream can take. Argument: the folder to write
into."""

import datetime
import decimal
import sys
from pathlib import Path

import pandas
import polars
import pyarrow
import pyarrow.parquet as parquet

folder = Path(sys.argv[1])
ROWS = 3_000
utc = datetime.timezone.utc
begin = datetime.datetime(2024, 5, 1, 12, tzinfo=utc)
times = [begin + datetime.timedelta(seconds=n, microseconds=n) for n in range(ROWS)]
table = pyarrow.table(
    {
        "at": pyarrow.array(times, pyarrow.timestamp("us", tz="UTC")),
        "price": pyarrow.array([None if n % 7 == 0 else n / 8 - 100 for n in range(ROWS)]),
        "count": pyarrow.array([2**53 + 1 + n for n in range(ROWS)]),
        "symbol": pyarrow.array([["AAPL", "MSFT", "", None][n % 4] for n in range(ROWS)]),
        "is_open": pyarrow.array([n % 3 == 0 for n in range(ROWS)]),
        "unused": pyarrow.array([str(n) for n in range(ROWS)]),
    }
)
frame = table.to_pandas()
frame.to_parquet(folder / "pandas.parquet")
frame.to_parquet(folder / "pandas-gzip.parquet", compression="gzip", index=False)
nanos = frame.assign(at=frame["at"].dt.as_unit("ns"), symbol=frame["symbol"].astype("category"))
nanos.to_parquet(folder / "pandas-ns.parquet", compression="zstd")
polars.from_arrow(table).write_parquet(folder / "polars.parquet")
polars.from_arrow(table).write_parquet(folder / "polars-small.parquet", row_group_size=100)
for name, options in {
    "arrow": {"compression": "none", "row_group_size": 777},
    "arrow-v2": {"data_page_version": "2.0", "compression": "zstd", "data_page_size": 999},
    "arrow-delta": {
        "use_dictionary": False,
        "column_encoding": {"at": "DELTA_BINARY_PACKED", "symbol": "DELTA_LENGTH_BYTE_ARRAY"},
    },
    "arrow-split": {"use_dictionary": False, "use_byte_stream_split": ["price"]},
    "refused-brotli": {"compression": "brotli"},
    "refused-lz4": {"compression": "lz4"},
    "refused-prefixes": {
        "use_dictionary": False,
        "column_encoding": {"symbol": "DELTA_BYTE_ARRAY"},
    },
}.items():
    parquet.write_table(table, folder / f"{name}.parquet", **options)
frame.assign(at=[time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for time in times]).to_csv(
    folder / "same.csv", index=False
)

first = table.slice(0, 2)
for name, column in {
    "list": pyarrow.array([[1.0], [2.0, 3.0]]),
    "struct": pyarrow.array([{"a": 1}, {"a": 2}]),
    "map": pyarrow.array([[("a", 1)], []], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    "decimal": pyarrow.array([decimal.Decimal("1.10"), None]),
    "infinity": pyarrow.array([1.0, float("inf")]),
}.items():
    replaced = first.set_column(1, "price", column)
    parquet.write_table(replaced, folder / f"refused-{name}.parquet")
fine = pyarrow.array([1_714_564_800_000_000_001, 1], pyarrow.timestamp("ns", tz="UTC"))
parquet.write_table(first.set_column(0, "at", fine), folder / "refused-ns.parquet")
parquet.write_table(
    first, folder / "refused-int96.parquet", use_deprecated_int96_timestamps=True
)
# A few bytes that unpack to more than anybody keeps.
much = pyarrow.array([b"\0" * (300 << 20), b""])
parquet.write_table(
    first.set_column(3, "symbol", much),
    folder / "refused-much.parquet",
    compression="zstd",
    use_dictionary=False,
    write_statistics=False,
)
# What clocks in Berlin showed when they were put back, and no zone.
shown = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
shown = pandas.to_datetime([f"2023-10-29 {time}" for time in shown])
clocks = pandas.DataFrame({"at": shown, "seen": shown, "price": range(6)})
clocks.to_parquet(folder / "clocks.parquet")
print(ROWS)
