"""The rows of docs/formats.md: which values are rows, and what their tokens are as
cells. With nothing but that page, and no code of ours.

    rows.py docs/vectors/rows.json            reads the examples again
    rows.py docs/vectors/rows.json --write    writes them
"""

import base64
import datetime
import decimal
import json
import re
import sys

MAX_TOKENS = 4096
MAX_DEPTH = 127
HALF = re.compile("[\ud800-\udfff]")
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(Z|[+-](?:0\d|1[0-5]):[0-5]\d)\Z",
    re.ASCII,
)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class NoRow(Exception):
    pass


def no_constant(word):
    raise NoRow(word)


def check(value, depth):
    """What JSON of Python takes and ours does not."""
    if isinstance(value, str) and HALF.search(value):
        raise NoRow("half of a surrogate pair")
    if isinstance(value, Pairs):
        for key, inner in value.pairs:
            check(key, depth)
            check(inner, depth + 1)
    if isinstance(value, list):
        for inner in value:
            check(inner, depth + 1)
    if isinstance(value, (list, Pairs)) and depth > MAX_DEPTH:
        raise NoRow("too deep")


class Pairs:
    """An object, with keys that may be there twice."""

    def __init__(self, pairs):
        self.pairs = pairs


DECODER = json.JSONDecoder(
    parse_constant=no_constant,
    parse_float=decimal.Decimal,
    parse_int=decimal.Decimal,
    object_pairs_hook=Pairs,
)


def tokens(data):
    """The tokens of a value, each as text and as what it says."""
    text = data.decode()
    if text[:1] != "[":
        raise NoRow("no array")
    found, at = [], 1
    while True:
        value, end = DECODER.raw_decode(text, at)
        check(value, 1)
        found.append((text[at:end], value))
        if text[end : end + 1] == "]" and end + 1 == len(text):
            break
        if text[end : end + 1] != ",":
            raise NoRow("no comma")
        at = end + 1
    if len(found) > MAX_TOKENS:
        raise NoRow("too many")
    return found


def plain(number):
    """The shortest decimal form of a double, without an exponent."""
    written = format(decimal.Decimal(repr(number)), "f")
    return written[:-2] if written.endswith(".0") else written


def moment(text):
    parts = TIME.match(text)
    if not parts:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups()[:6])
    micros = int((parts[7] or "").ljust(6, "0"))
    offset = parts[8]
    shift = 0
    if offset != "Z":
        shift = int(offset[1:3]) * 60 + int(offset[4:6])
        shift = shift if offset[0] == "+" else -shift
    try:
        at = datetime.datetime(year, month, day, hour, minute, second, micros, datetime.timezone.utc)
    except ValueError:
        return None
    return (at - EPOCH) // datetime.timedelta(microseconds=1) - shift * 60 * 10**6


def as_time(micros):
    try:
        at = EPOCH + datetime.timedelta(microseconds=micros)
    except OverflowError:
        return str(micros)
    return json.dumps(at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"))


def is_integer(token):
    return re.fullmatch(r"-?\d+", token, re.ASCII) and -(2**63) <= int(token) < 2**63


def as_text(text):
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    escaped = (short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text)
    return '"' + "".join(escaped) + '"'


def cell(kind, token, value):
    """The token that the cell is written as; none where there is no cell."""
    if value is None:
        return "null"
    is_number = isinstance(value, decimal.Decimal)
    if kind == "number" and is_number:
        number = float(token)
        return plain(number) if abs(number) != float("inf") else None
    if kind == "integer" and is_number:
        return str(int(token)) if is_integer(token) else None
    if kind == "text" and isinstance(value, str):
        return as_text(value)
    if kind == "bool" and isinstance(value, bool):
        return token
    if kind == "time" and isinstance(value, str):
        micros = moment(value)
        return None if micros is None else as_time(micros)
    if kind == "time" and is_number:
        return as_time(int(token)) if is_integer(token) else None
    if kind == "bytes" and isinstance(value, str):
        try:
            content = base64.b64decode(value, validate=True)
        except ValueError:
            return None
        written = json.dumps(base64.b64encode(content).decode())
        # Bits behind the end are none.
        return written if written == as_text(value) else None
    return token if kind == "json" else None


def read(data, columns):
    """What becomes of a value: its cells, its rest, whether they give it back."""
    try:
        found = tokens(data)
    except (NoRow, ValueError, RecursionError):
        return {"row": False}
    padded = found + [None] * (len(columns) - len(found))
    cells = [cell(kind, *token) if token else None for kind, token in zip(columns, padded)]
    rest = [token for token, _ in found[len(columns) :]]
    rest = "[" + ",".join(rest) + "]" if rest else None
    back = "[" + ",".join(c or "" for c in cells) + ("," + rest[1:] if rest else "]")
    conforms = len(found) >= len(columns) and None not in cells
    gives_back = conforms and back.encode() == data
    return {"row": True, "cells": cells, "rest": rest, "gives_back": gives_back}


EVERY = ["number", "integer", "text", "bool", "time", "json", "bytes"]
GOOD = r"""[12.5,-3,"Süd \"7\"",true,"2026-11-30T12:00:00.000000Z",{"a": [1, 2]},"AP8="]"""


def examples():
    yield GOOD, EVERY
    yield "[null,null,null,null,null,null,null]", EVERY
    for number in ["0", "-0", "1.50", "9007199254740993", "1e3", "0.1", "1e400", "-1e-400", "1e22", "5e-324",
                   "123456789012345678", "0.30000000000000004", "1.0", "\"1\"", "true", "[1]"]:
        yield f"[{number}]", ["number"]
    for number in ["0", "-0", "9007199254740993", "9223372036854775807", "9223372036854775808",
                   "-9223372036854775808", "1.0", "1e3", "\"1\"", "null"]:
        yield f"[{number}]", ["integer"]
    for text in ['"a"', '""', r'"\u0041"', r'"a\/b"', r'"\u001f\b\t\n\f\r"', r'"\u001F"', '"\u007f\u2028"',
                 r'"\ud83d\ude00"', '"\U0001f600"', "1", "null"]:
        yield f"[{text}]", ["text"]
    for word in ["true", "false", "1", '"true"', "null"]:
        yield f"[{word}]", ["bool"]
    for time in ['"2026-11-30T12:00:00Z"', '"2026-11-30T12:00:00.5Z"', '"2026-11-30T13:00:00.000000+01:00"',
                 '"2026-11-30T12:00:00.000000Z"', '"0000-01-01T00:00:00.000000Z"', '"2026-11-30"', '"noon"',
                 '"2026-11-30 12:00:00Z"', '"2026-11-30t12:00:00z"', '"20261130T120000Z"', '"2026-02-29T12:00:00Z"',
                 '"2026-11-30T23:59:60Z"', '"2026-11-30T12:00:00+16:00"', '"2026-11-30T12:00:00-15:59"',
                 '"2026-11-30T12:00:00"', '"2026-11-30T12:00:00.0000001Z"', "1796040000000000", "-1", "1.5",
                 "9223372036854775807", "-9223372036854775808"]:
        # Python has no year 0.
        if "0000-" not in time:
            yield f"[{time}]", ["time"]
    for any_json in ["1.50", '{"a":1, "b":[]}', "[]", '"x"', "true", "null"]:
        yield f"[{any_json}]", ["json"]
    for content in ['"AP8="', '""', '"AP8"', '"A P8="', '"AP9="', '"!"', "1"]:
        yield f"[{content}]", ["bytes"]
    yield "[1]", ["number", "text"]
    yield '[1,"a",2,[3]]', ["number", "text"]
    for value in ["", "1", "{}", "[]", "[ 1]", "[1 ]", "[1, 2]", "[1,]", "[,1]", "[1]]", "[1] ", "[01]", "[+1]",
                  "[.5]", "[1.]", "[NaN]", "[Infinity]", '["a]', '["\x01"]', r'["\x"]', r'["\ud800"]',
                  r'["\udc00\ud800"]', '[{"a"}]', '[{"a":1,}]', "[[1}]", "['a']", "[tru]"]:
        yield value, ["json"]
    yield "[" + "[" * 127 + "]" * 127 + "]", ["json"]
    yield "[" + "[" * 128 + "]" * 128 + "]", ["json"]
    yield b'["\xff"]', ["text"]


def written():
    rows = []
    for value, columns in examples():
        data = value if isinstance(value, bytes) else value.encode()
        rows.append({"value": data.hex(), "shown": data.decode(errors="replace"), "columns": columns, **read(data, columns)})
    return {"rows": rows}


def main(path, write=None):
    if write == "--write":
        with open(path, "w", encoding="utf-8") as file:
            json.dump(written(), file, indent=1, ensure_ascii=True)
            file.write("\n")
        return
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for vector in vectors["rows"]:
        found = read(bytes.fromhex(vector["value"]), vector["columns"])
        known = {key: vector[key] for key in found}
        assert found == known, (vector["shown"], found, known)
    print(f"{len(vectors['rows'])} rows read")


main(*sys.argv[1:])
