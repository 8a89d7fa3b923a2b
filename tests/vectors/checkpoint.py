"""The heads of docs/formats.md: their fields, texts and notes, and which of two is
later. With nothing but that page, and no code of ours."""

import base64
import hashlib
import re
import unicodedata

import ed25519

LARGEST_SIZE = 1 << 62
LARGEST_TIME = (1 << 63) - 1
MAX_LINES = 4
MAX_LINE_BYTES = 256
MAX_NOTE_BYTES = 64 * 1024
EM_DASH = "\u2014"
TYPE = b"\x01"
NOTHING = hashlib.sha256(b"").digest()


class Refused(Exception):
    pass


def demand(holds, what):
    if not holds:
        raise Refused(what)


# -- Names -----------------------------------------------------------------------


def stream_id(digest):
    """CIDv1 of raw bytes and SHA-256, in base32."""
    cid = b"\x01\x55\x12\x20" + digest
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def digest_of(text):
    """The digest in a stream id, which is written in one way."""
    demand(re.fullmatch("b[a-z2-7]{58}", text), "no stream id")
    cid = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
    demand(cid[:4] == b"\x01\x55\x12\x20", "no stream id")
    demand(stream_id(cid[4:]) == text, "no stream id")
    return cid[4:]


def origin(stream):
    return f"headwater/1/{stream}"


def key_id(name, key):
    return hashlib.sha256(name.encode() + b"\n" + TYPE + key).digest()[:4]


def vkey(stream, key):
    name = origin(stream)
    return f"{name}+{key_id(name, key).hex()}+{to_base64(TYPE + key)}"


def to_base64(data):
    return base64.b64encode(data).decode()


def of_base64(text):
    """Padded, and with nothing in bits that are not used."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("no base64") from error
    demand(to_base64(data) == text, "no base64")
    return data


# -- Fields ----------------------------------------------------------------------


def varint(value):
    written = b""
    while value >= 0x80:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])


def long(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def to_wire(head, signature):
    """`SignedHead` in protobuf: absent where a number is 0."""
    written = b""
    if head["size"]:
        written += b"\x08" + varint(head["size"])
    written += long(2, head["root"])
    if head["time"]:
        written += b"\x18" + varint(head["time"])
    if head["closed"] is not None:
        written += long(4, head["closed"])
    for line in head["lines"]:
        written += long(5, line.encode())
    return written + long(6, signature)


def read_varint(data, at):
    value = 0
    for place in range(10):
        demand(at + place < len(data), "cut off")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            shortest = place == 0 or byte > 0
            demand(shortest and value < 1 << 64, "a number that is not in its shortest form")
            return value, at + place + 1
    raise Refused("a number of more than 64 bits")


def of_wire(data):
    """The fields, and the signature."""
    head = {"size": 0, "root": b"", "time": 0, "closed": None, "lines": []}
    names = {1: "size", 2: "root", 3: "time", 4: "closed", 6: "signature"}
    found, at, last = {"signature": b""}, 0, 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        demand(number > last or number == last == 5, "fields out of order, or twice")
        demand(1 <= number <= 6, "a field that is not known")
        demand(kind == (0 if number in (1, 3) else 2), "a field in another form")
        value, at = read_varint(data, at)
        last = number
        if kind == 0:
            demand(value > 0, "a default that is written")
        else:
            value, at = data[at : at + value], at + value
            demand(at <= len(data), "cut off")
            demand(value or number in (4, 5), "a default that is written")
        if number == 5:
            head["lines"].append(value.decode())
        else:
            found[names[number]] = value
    signature = found.pop("signature")
    demand(len(signature) == 64, "a signature of another length")
    return {**head, **found}, signature


def check(head, digest):
    """What is no head of this stream, whoever has signed it."""
    demand(len(head["root"]) == 32, "a root of another length")
    demand(head["size"] <= LARGEST_SIZE, "too large")
    demand(head["size"] > 0 or head["root"] == NOTHING, "the root of an empty log is another")
    demand(head["time"] <= LARGEST_TIME, "a time that cannot be")
    closed = head["closed"]
    demand(closed in (None, b"") or len(closed) == 32, "a successor of another length")
    demand(closed != digest, "a stream is its own successor")
    lines = head["lines"]
    demand(len(lines) <= MAX_LINES, "too many lines")
    demand(sum(len(line.encode()) for line in lines) <= MAX_LINE_BYTES, "lines that are too long")
    for line in lines:
        demand(line, "an empty line")
        demand(line.split(" ")[0] not in ("time", "closed"), "a line that begins as others do")
        control = any(unicodedata.category(character) == "Cc" for character in line)
        demand(not control, "a control character")


# -- Texts -----------------------------------------------------------------------


def text_of(head, digest):
    """What is signed."""
    lines = [origin(stream_id(digest)), str(head["size"]), to_base64(head["root"])]
    lines.append(f"time {head['time']}")
    if head["closed"] is not None:
        lines.append("closed " + (stream_id(head["closed"]) if head["closed"] else "-"))
    return "".join(line + "\n" for line in lines + head["lines"])


def note_of(text, name, key, signature):
    return f"{text}\n{EM_DASH} {name} {to_base64(key_id(name, key) + signature)}\n"


def decimal(text):
    demand(re.fullmatch("0|[1-9][0-9]*", text), "no decimal number")
    return int(text)


def of_text(text):
    *lines, end = text.split("\n")
    demand(end == "" and len(lines) >= 4, "lines are missing")
    demand(lines[0].startswith("headwater/1/"), "another origin")
    digest = digest_of(lines[0][len("headwater/1/") :])
    demand(lines[3].startswith("time "), "no time")
    head = {"size": decimal(lines[1]), "root": of_base64(lines[2]), "time": decimal(lines[3][5:])}
    rest, head["closed"] = lines[4:], None
    if rest and rest[0].startswith("closed "):
        successor = rest.pop(0)[len("closed ") :]
        head["closed"] = b"" if successor == "-" else digest_of(successor)
    return {**head, "lines": rest}, digest


def of_note(note, digest, key):
    """The head of this stream that a note is, and its signature."""
    demand(len(note.encode()) <= MAX_NOTE_BYTES, "too long")
    text, empty, signatures = note.rpartition("\n\n")
    demand(empty and signatures.endswith("\n"), "no signatures behind an empty line")
    name, found = origin(stream_id(digest)), []
    for line in signatures[:-1].split("\n"):
        parts = line.split(" ")
        demand(len(parts) == 3 and parts[0] == EM_DASH, "a line that is no signature")
        signature = of_base64(parts[2])
        demand(len(signature) >= 5, "a line that is no signature")
        if parts[1] == name and signature[:4] == key_id(name, key):
            found.append(signature[4:])
    demand(len(found) == 1, "not signed once by the key of the stream")
    demand(len(found[0]) == 64, "a signature of another length")
    head, its_digest = of_text(text + "\n")
    demand(its_digest == digest, "a head of another stream")
    check(head, digest)
    demand(text_of(head, digest) == text + "\n", "not the text that its fields give")
    is_signed = ed25519.is_signed(key, (text + "\n").encode(), found[0])
    demand(is_signed, "not signed by the key of the stream")
    return head, found[0]


# -- Order -----------------------------------------------------------------------


def goes_on_after(end, other):
    """Whether one head closes the log, and the other one says something else."""
    if end["closed"] is None or other["size"] < end["size"]:
        return False
    if other["size"] > end["size"]:
        return True
    if other["root"] != end["root"]:
        return False
    if other["closed"] is None:
        return other["time"] > end["time"]
    return other["closed"] != end["closed"]


def relation(first, second):
    """What two heads of one log say about each other, by themselves."""
    if first["size"] == second["size"] and first["root"] != second["root"]:
        return "fork"
    if goes_on_after(first, second) or goes_on_after(second, first):
        return "fork"
    rank = [(head["size"], head["closed"] is not None, head["time"]) for head in (first, second)]
    if rank[0] == rank[1] or (rank[0][:2] == rank[1][:2] and rank[0][1]):
        return "same"
    return "second" if rank[1] > rank[0] else "first"
