"""The rows of docs/formats.md: which values are rows, and what their tokens are as
cells. With nothing but that page, and no code of ours.

    rows.py docs/vectors/rows.json            reads the examples again
    rows.py docs/vectors/rows.json --write    writes them
"""

import base64
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


def is_interoperable(value):
    """What a cell of JSON is beside JSON: names once, and numbers of doubles."""
    if isinstance(value, Pairs):
        names = [name for name, _ in value.pairs]
        return len(set(names)) == len(names) and all(is_interoperable(inner) for _, inner in value.pairs)
    if isinstance(value, list):
        return all(map(is_interoperable, value))
    return not isinstance(value, Number) or is_finite(value.token)


def is_finite(token):
    return abs(float(token)) != float("inf")


class Pairs:
    """An object, with keys that may be there twice."""

    def __init__(self, pairs):
        self.pairs = pairs


class Number:
    """A number, as it is written."""

    def __init__(self, token):
        self.token = token


DECODER = json.JSONDecoder(
    parse_constant=no_constant,
    parse_float=Number,
    parse_int=Number,
    object_pairs_hook=Pairs,
)


def tokens(data):
    """The tokens of a value, each as text and as what it says."""
    text = data.decode()
    if any(byte < 0x20 for byte in data):
        raise NoRow("more than one line")
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


def days_before(year):
    """Days from the first of January of the year 0 to that of another one. (Python's
    calendar has no year 0.)"""
    return 365 * year + (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400


def month_lengths(year):
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return [31, 29 if is_leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


DAY = 86_400 * 10**6
FIRST = -days_before(1970) * DAY
BEHIND = (days_before(10_000) - days_before(1970)) * DAY


def moment(text):
    parts = TIME.match(text)
    if not parts:
        return None
    year, month, day, hour, minute, second = map(int, parts.groups()[:6])
    if not 1 <= month <= 12 or not 1 <= day <= month_lengths(year)[month - 1]:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    micros = int((parts[7] or "").ljust(6, "0"))
    offset = parts[8]
    shift = 0
    if offset != "Z":
        shift = int(offset[1:3]) * 60 + int(offset[4:6])
        shift = shift if offset[0] == "+" else -shift
    days = days_before(year) - days_before(1970) + sum(month_lengths(year)[: month - 1]) + day - 1
    seconds = hour * 3600 + (minute - shift) * 60 + second
    return days * DAY + seconds * 10**6 + micros


def as_time(micros):
    if not FIRST <= micros < BEHIND:
        return str(micros)
    days, within = divmod(micros - FIRST, DAY)
    year = next(year for year in range(days // 366, 10_000) if days_before(year + 1) > days)
    day, month = days - days_before(year), 1
    for length in month_lengths(year):
        if day < length:
            break
        day, month = day - length, month + 1
    seconds, micros = divmod(within, 10**6)
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
    return f'"{year:04}-{month:02}-{day + 1:02}T{time}Z"'


def is_integer(token):
    is_whole = re.fullmatch(r"-?\d{1,19}", token, re.ASCII)
    return is_whole and -(2**63) <= int(token) < 2**63


def as_text(text):
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    escaped = (short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text)
    return '"' + "".join(escaped) + '"'


def cell(kind, token, value):
    """The token that the cell is written as; none where there is no cell."""
    if value is None:
        return "null"
    is_number = isinstance(value, Number)
    if kind == "number" and is_number:
        return plain(float(token)) if is_finite(token) else None
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
    return token if kind == "json" and is_interoperable(value) else None


def read(data, columns, about):
    """What becomes of a value: its cells, the rest behind them, whether it conforms, and
    whether its cells give it back."""
    try:
        found = tokens(data)
    except (NoRow, ValueError, RecursionError):
        return {"row": False}
    padded = found + [None] * (len(columns) - len(found))
    cells = [cell(kind, *token) if token else None for kind, token in zip(columns, padded)]
    more, rest = found[len(columns) :], None
    if more and about and is_interoperable([value for _, value in more]):
        rest = "[" + ",".join(token for token, _ in more) + "]"
    conforms = None not in cells and (rest is not None or not more)
    back = "[" + ",".join(c or "" for c in cells) + ("," + rest[1:] if rest else "]")
    gives_back = conforms and back.encode() == data
    return {"row": True, "cells": cells, "rest": rest, "conforms": conforms, "gives_back": gives_back}


EVERY = ["number", "integer", "text", "bool", "time", "json", "bytes"]
GOOD = r"""[12.5,-3,"Süd \"7\"",true,"2026-11-30T12:00:00.000000Z",{"a": [1, 2]},"AP8="]"""


def examples():
    yield GOOD, EVERY
    yield "[null,null,null,null,null,null,null]", EVERY
    for number in ["0", "-0", "1.50", "9007199254740993", "1e3", "0.1", "1e400", "-1e-400", "1e22", "5e-324",
                   "123456789012345678", "0.30000000000000004", "1.0", "-0.0", "1E5", "1e23", "1e308",
                   "1.7976931348623157e308", "1.7976931348623159e308", "2.4703282292062327e-324",
                   "2.4703282292062328e-324", "9" * 5000, "0." + "3" * 5000, "1e99999999999999999999",
                   "-1e-99999999999999999999", "0e99999999999999999999", "null", "\"1\"", "true", "[1]"]:
        yield f"[{number}]", ["number"]
    for number in ["0", "-0", "9007199254740993", "9223372036854775807", "9223372036854775808",
                   "-9223372036854775808", "-9223372036854775809", "1.0", "1e3", "9" * 5000, "\"1\"", "true", "null"]:
        yield f"[{number}]", ["integer"]
    for text in ['"a"', '""', r'"\u0041"', r'"a\/b"', r'"\u001f\b\t\n\f\r"', r'"\u001F"', '"\u007f\u2028"',
                 r'"\ud83d\ude00"', '"\U0001f600"', r'"\ud83d\uDE00"', r'"\u0000"', r'"\u2028"', r'"\b\u0008"',
                 '"null"', '"a\u0308"', '"\u00e4"', "1", "true", "[]", "null"]:
        yield f"[{text}]", ["text"]
    for word in ["true", "false", "1", '"true"', "null"]:
        yield f"[{word}]", ["bool"]
    for time in ['"2026-11-30T12:00:00Z"', '"2026-11-30T12:00:00.5Z"', '"2026-11-30T13:00:00.000000+01:00"',
                 '"2026-11-30T12:00:00.000000Z"', '"0000-01-01T00:00:00.000000Z"', '"0000-02-29T00:00:00.000000Z"',
                 '"0000-01-01T00:00:00+00:01"', '"9999-12-31T23:59:59.999999Z"', '"9999-12-31T23:59:59.999999-00:01"',
                 '"2000-02-29T00:00:00.000000Z"', '"1900-02-29T00:00:00.000000Z"', '"2026-11-30T12:00:00-00:00"',
                 '"2026-11-30T24:00:00Z"', '"2026-13-01T12:00:00Z"', '"2026-11-31T12:00:00Z"', '"2026-11-30T12:60:00Z"',
                 '"2026-11-30"', '"noon"', '"2026-11-30 12:00:00Z"', '"2026-11-30t12:00:00z"', '"20261130T120000Z"',
                 '"2026-02-29T12:00:00Z"', '"2026-11-30T23:59:60Z"', '"2016-12-31T23:59:60Z"',
                 '"2026-11-30T12:00:00+16:00"', '"2026-11-30T12:00:00-15:59"', '"2026-11-30T12:00:00+01:60"',
                 '"2026-11-30T12:00:00+0100"', '"2026-11-30T12:00:00+01"', '"2026-11-30T12:00:00"',
                 '"2026-11-30T12:00Z"', '"2026-11-30T12:00:00,5Z"', '"2026-11-30T12:00:00.Z"',
                 '"2026-11-30T12:00:00.0000001Z"', '"2026-11-30T12:00:00.0000000Z"', '"2026-11-30T12:00:00Z "',
                 '"2026-11-30T12:00:00Z[UTC]"', '"+002026-11-30T12:00:00Z"', r'"2026-11-30T12:00:00\u005a"',
                 "1796040000000000", "-1", "-0", "1.5", "1e3", "-62167219200000000", "-62167219200000001",
                 "253402300799999999", "253402300800000000", "9223372036854775807", "-9223372036854775808",
                 "9223372036854775808", '"1796040000000000"', "null"]:
        yield f"[{time}]", ["time"]
    for any_json in ["1.50", '{"a":1, "b":[]}', "[ ]", "[]", '"x"', r'"\u0041"', "true", "null", '{"a":null}', '{"a":1,"a":1}',
                     r'{"a":1,"\u0061":2}', '[{"b":{"a":[],"a":2}}]', '{"a":1,"b":{"a":2}}', '["a","a"]', "1e400",
                     '{"a":[-1e400]}', '{"1e400":"1e400"}', "[1e-400]", r'"\ud800\udc00"', '{"":1,"":2}']:
        yield f"[{any_json}]", ["json"]
    for content in ['"AP8="', '""', '"AP8"', '"A P8="', '"AP9="', '"!"', r'"AP8\u003d"', '"-_8="', '"+/8="', r'"AP8=\n"', '"AP8=AP8="',
                    '"="', "1", "null"]:
        yield f"[{content}]", ["bytes"]
    yield "[1]", ["number", "text"]
    for about in [False, True]:
        for row in ['[1,"a"]', '[1,"a",2,[3]]', '[1,"a",null]', "[1]", '[1,2,"a"]', '[1.50,"a",2]', '[1,"a",{"b":1,"b":2}]',
                    '[1,"a",1e400,2]', '[1,"a",{"b": 1.50}]']:
            yield row, ["number", "text"], about
    for value in ["", "1", "{}", "[]", "[ 1]", "[1 ]", "[1, 2]", "[1,]", "[,1]", "[1]]", "[1] ", "[01]", "[+1]",
                  "[.5]", "[1.]", "[NaN]", "[Infinity]", '["a]', '["\x01"]', r'["\x"]', r'["\ud800"]',
                  r'["\udc00\ud800"]', '[{"a"}]', '[{"a":1,}]', "[[1}]", "['a']", "[tru]",
                  '[{"a":\t1}]', '[{"a":1\n}]', "[1]\n", "[\r1]", "[null ]", "\ufeff[1]", "[1],[2]", "[1,,2]", "[1 ,2]", "[-]", "[1.e1]",
                  "[0x1]", "[1_0]", "[\u0661]", "[Null]", "[nulll]", '["a""b"]', r'["\u00g1"]', r'["\u12"]', '["\x7f"]', '[{"a":1 }]',
                  "[[1 ,2]]", "[//1]", "[[1]", "[{]", '[{a:1}]', r'["\ud83d\u0041"]', r'["\U0041"]', "[\"\\\"]"]:
        yield value, ["json"]
    yield "[" + ",".join(["1"] * 4096) + "]", ["number"] * 64, True
    yield "[" + ",".join(["1"] * 4097) + "]", ["number"] * 64, True
    yield "[" + ",".join(["1"] * 64) + "]", ["number"] * 64
    yield "[" + ",".join(["1"] * 65) + "]", ["number"] * 64
    yield "[" + '{"a":' * 127 + "1" + "}" * 127 + "]", ["json"]
    yield "[" + "[" * 127 + "]" * 127 + "]", ["json"]
    yield "[" + "[" * 128 + "]" * 128 + "]", ["json"]
    yield b'["\xff"]', ["text"]


def written():
    rows = []
    for value, columns, *about in examples():
        about = True in about
        data = value if isinstance(value, bytes) else value.encode()
        shown = data.decode(errors="replace")
        shown = shown if len(shown) <= 100 else f"{shown[:90]}… ({len(data)} bytes)"
        found = read(data, columns, about)
        rows.append({"value": data.hex(), "shown": shown, "columns": columns, "about": about, **found})
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
        found = read(bytes.fromhex(vector["value"]), vector["columns"], vector["about"])
        known = {key: vector[key] for key in found}
        assert found == known, (vector["shown"], found, known)
    print(f"{len(vectors['rows'])} rows read")


main(*sys.argv[1:])
