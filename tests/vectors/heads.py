#!/usr/bin/env python3
"""Makes docs/vectors/heads.json with nothing but docs/formats.md, and no code of
ours, and reads it again: heads, and what must be refused.

    heads.py FILE           is the file what is made here?
    heads.py --write FILE   writes it
    heads.py --proof FILE   says of which tree the head in a proof file is
"""

import base64
import hashlib
import json
import sys

import ed25519
from checkpoint import (
    EM_DASH,
    LARGEST_SIZE,
    LARGEST_TIME,
    MAX_LINE_BYTES,
    MAX_LINES,
    NOTHING,
    Refused,
    check,
    demand,
    digest_of,
    goes_on_after,
    key_id,
    long,
    note_of,
    of_base64,
    of_note,
    of_wire,
    origin,
    read_varint,
    relation,
    stream_id,
    text_of,
    to_base64,
    to_wire,
    vkey,
)

SECRET = bytes([1] * 32)
STRANGER = bytes([2] * 32)

KEY = ed25519.Key(SECRET)
LOG, SUCCESSOR = bytes([5] * 32), bytes([7] * 32)
ROOT = bytes([6] * 32)
TIME = 1_790_000_000_000_000
RECORDS = [b"\0\0\0\0\0\0\0" + record for record in [b"\1" + b"1.5", b"\2" + b"2", b"\3-0.25"]]


def head(**fields):
    return {"size": 300, "root": ROOT, "time": TIME, "closed": None, "lines": [], **fields}


def leaf(record):
    return hashlib.sha256(b"\x00" + record).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


HEADS = {
    "open": ("one of 300 records", head()),
    "three records": (
        "one of the tree over `records`",
        head(size=3, root=node(node(leaf(RECORDS[0]), leaf(RECORDS[1])), leaf(RECORDS[2]))),
    ),
    "empty": ("one of no records, of the first moment", head(size=0, root=NOTHING, time=0)),
    "later": ("the tree of `open`, signed again", head(time=TIME + 600_000_000)),
    "other tree": ("another tree of that size", head(root=bytes([8] * 32))),
    "larger": ("one of more records", head(size=301, root=bytes([9] * 32), time=TIME + 1)),
    "closed": ("the end of `open`, without a successor", head(time=TIME + 1, closed=b"")),
    "closed again": ("the same end, of another time", head(time=TIME + 2, closed=b"")),
    "closed with a successor": ("another end of `open`", head(time=TIME + 1, closed=SUCCESSOR)),
    "closed while empty": (
        "the end of a log that never had a record",
        head(size=0, root=NOTHING, closed=SUCCESSOR),
    ),
    "lines": (
        "one with lines of a later version, which are ignored",
        head(lines=["archive 3 weekly", "timed 7", "closed-by someone", "Grüße"]),
    ),
    "closed with lines": (
        "and an end with one",
        head(time=TIME + 1, closed=SUCCESSOR, lines=["archive 3 weekly"]),
    ),
    "largest": (
        "the largest of everything",
        head(
            size=LARGEST_SIZE,
            root=b"\xff" * 32,
            time=LARGEST_TIME,
            closed=b"\xff" * 32,
            lines=["x" * (MAX_LINE_BYTES // MAX_LINES)] * MAX_LINES,
        ),
    ),
}

# First head, second head, what both say: which one is later, or that no log holds both.
PAIRS = [
    ("open", "later", "second"),
    ("open", "larger", "second"),
    ("open", "lines", "same"),
    ("open", "other tree", "fork"),
    ("open", "closed", "second"),
    ("open", "closed with a successor", "second"),
    ("later", "closed", "fork"),
    ("closed", "larger", "fork"),
    ("closed", "closed again", "same"),
    ("closed", "closed with a successor", "fork"),
    ("closed with a successor", "closed with lines", "same"),
    ("closed", "other tree", "fork"),
    ("closed", "three records", "first"),
    ("empty", "open", "second"),
    ("closed while empty", "empty", "first"),
    ("closed while empty", "open", "fork"),
]


def signed(head):
    text = text_of(head, LOG)
    return text, KEY.sign(text.encode())


def head_vector(name, says, head):
    text, signature = signed(head)
    written = to_wire(head, signature)
    return {
        "name": name,
        "says": says,
        "size": str(head["size"]),
        "root": head["root"].hex(),
        "time": str(head["time"]),
        "closed": None if head["closed"] is None else head["closed"].hex(),
        "lines": head["lines"],
        "wire": written.hex(),
        "text": text,
        "signature": signature.hex(),
        "note": note_of(text, origin(stream_id(LOG)), KEY.public, signature),
    }


def pair_vector(first, second, says):
    """With a `ForkProof` of both heads, which one of a fork is."""
    one, other = HEADS[first][1], HEADS[second][1]
    # Of equal sizes they come as they are; else the end is in front, or the smaller one.
    is_turned = (one["size"] != other["size"] and one["size"] > other["size"]) or (
        one["root"] == other["root"] and not goes_on_after(one, other) and goes_on_after(other, one)
    )
    written = [to_wire(head, signed(head)[1]) for head in ((other, one) if is_turned else (one, other))]
    proof = long(1, written[0]) + long(2, written[1])
    return {"first": first, "second": second, "later": says, "proof": proof.hex()}


def fields_to_refuse():
    """Heads whose fields none has, signed all the same, as far as they give a text."""
    plain = head()
    text, signature = signed(plain)
    wire = to_wire(plain, signature)

    def of(**fields):
        odd = head(**fields)
        return to_wire(odd, signed(odd)[1])

    return [
        ("a size beyond 2^62", of(size=LARGEST_SIZE + 1)),
        ("an empty log with another root", of(size=0)),
        ("a root of 31 bytes", of(root=ROOT[1:])),
        ("no root", wire.replace(long(2, ROOT), b"")),
        ("a time of 64 bits", of(time=LARGEST_TIME + 1)),
        ("a successor of 31 bytes", to_wire(head(closed=SUCCESSOR[1:]), signature)),
        ("its own successor", of(closed=LOG)),
        ("five lines", of(lines=list("abcde"))),
        ("lines of 257 bytes", of(lines=["x" * (MAX_LINE_BYTES + 1)])),
        ("an empty line", of(lines=[""])),
        ("a line of two", of(lines=["two\nlines"])),
        ("a control character", of(lines=["a\x7fb"])),
        ("a control character beyond ASCII", of(lines=["a\u0085b"])),
        ("a second time", of(lines=["time 5"])),
        ("the word time alone", of(lines=["time"])),
        ("a second end", of(closed=b"", lines=["closed -"])),
        ("an end that is a line", of(lines=["closed -"])),
        ("no signature", wire[: -len(long(6, signature))]),
        ("a signature of 63 bytes", to_wire(plain, signature[:-1])),
        ("the signature of another key", to_wire(plain, ed25519.Key(STRANGER).sign(text.encode()))),
        ("the signature of an open head below an end", to_wire(head(closed=b""), signature)),
        ("the signature of version 0.1.0", to_wire(plain, KEY.sign(b"headwater/1/head\0" + wire))),
    ]


def notes_to_refuse():
    """Name, note, and whether the key of the stream has signed this very text."""
    name, id_ = origin(stream_id(LOG)), stream_id(LOG)
    plain, closed = head(), head(time=TIME + 1, closed=SUCCESSOR)
    text, signature = signed(plain)
    note = note_of(text, name, KEY.public, signature)
    line = note[len(text) + 1 :]
    stranger = ed25519.Key(STRANGER)

    def other_text(changed):
        assert changed != text
        return note_of(changed, name, KEY.public, KEY.sign(changed.encode())), True

    def instead(old, new, of=plain):
        before = text_of(of, LOG)
        assert before.count(old) == 1, old
        return other_text(before.replace(old, new))

    def with_id(start):
        return f"{text}\n{EM_DASH} {name} {to_base64(start + signature)}\n"

    def with_signature(signature):
        return note_of(text, name, KEY.public, signature)

    cid = b"\x01\x55\x12\x20" + SUCCESSOR
    cosigner = hashlib.sha256(name.encode() + b"\n\x04" + KEY.public).digest()
    pages = "b" + base64.b32encode(b"\x01\x70" + cid[2:]).decode().lower().rstrip("=")
    root, next_id = to_base64(ROOT), stream_id(SUCCESSOR)
    bare = to_base64(key_id(name, KEY.public) + signature).rstrip("=")
    return [
        ("a text without a signature", text, False),
        ("an empty line and no signature", text + "\n", False),
        ("no empty line", text + line, False),
        ("two empty lines", text + "\n\n" + line, False),
        ("a last line that does not end", note[:-1], False),
        ("an empty line behind the signature", note + "\n", False),
        ("a hyphen for the dash", note.replace(EM_DASH, "-"), False),
        ("a signature without its padding", f"{text}\n{EM_DASH} {name} {bare}\n", False),
        ("a signature of 63 bytes", with_signature(signature[:-1]), False),
        ("another name of the key", note_of(text, name + "x", KEY.public, signature), False),
        ("another id of the key", with_id(b"\x00\x01\x02\x03"), False),
        ("the id of a cosigner's key", with_id(cosigner[:4]), False),
        ("signed by another key", note_of(text, name, stranger.public, stranger.sign(text.encode())), False),
        ("another key under the id of this", with_signature(stranger.sign(text.encode())), False),
        ("signed twice", note + line, False),
        ("the signature of another text", with_signature(signed(closed)[1]), False),
        ("the empty line signed, too", with_signature(KEY.sign(text.encode() + b"\n")), False),
        ("signed behind a domain", with_signature(KEY.sign(b"headwater/1/head\0" + text.encode())), False),
        ("another stream", *instead(id_, next_id)),
        ("another version of the origin", *instead("headwater/1/", "headwater/2/")),
        ("the id in capitals", *instead(id_, "B" + id_[1:].upper())),
        ("a size with a zero in front", *instead("\n300\n", "\n0300\n")),
        ("a size with a sign", *instead("\n300\n", "\n+300\n")),
        ("a size with a blank", *instead("\n300\n", "\n 300\n")),
        ("a size in Arabic digits", *instead("\n300\n", "\n\u0663\u0660\u0660\n")),
        ("a size of 65 bits", *instead("\n300\n", "\n18446744073709551616\n")),
        ("a size beyond 2^62", *instead("\n300\n", f"\n{LARGEST_SIZE + 1}\n")),
        ("an empty log with another root", *instead("\n300\n", "\n0\n")),
        ("a root without its padding", *instead(root, root.rstrip("="))),
        ("a root with unused bits", *instead(root, root[:-2] + "Z=")),
        ("a root of 31 bytes", *instead(root, to_base64(ROOT[1:]))),
        ("a root in hex", *instead(root, ROOT.hex())),
        ("no time", *instead(f"time {TIME}\n", "")),
        ("a time before 1970", *instead(f"time {TIME}", "time -1")),
        ("a time with a zero in front", *instead("time 1", "time 01")),
        ("a time behind two blanks", *instead("time 1", "time  1")),
        ("a time of 64 bits", *instead(f"time {TIME}", f"time {LARGEST_TIME + 1}")),
        ("two times", *instead(f"time {TIME}\n", f"time {TIME}\ntime {TIME}\n")),
        ("an end without a word on its successor", *instead(f"closed {next_id}", "closed", closed)),
        ("an end with nothing for its successor", *instead(f"closed {next_id}", "closed ", closed)),
        ("a successor in capitals", *instead(next_id, "B" + next_id[1:].upper(), closed)),
        ("a successor that is no raw CID", *instead(next_id, pages, closed)),
        ("a successor in base16", *instead(next_id, "f" + cid.hex(), closed)),
        ("its own successor", *instead(next_id, id_, closed)),
        ("two ends", *instead(f"closed {next_id}\n", f"closed {next_id}\nclosed -\n", closed)),
        ("an end before the time", *other_text(f"{name}\n300\n{root}\nclosed -\ntime {TIME}\n")),
        ("an end behind another line", *other_text(text + "archive 3 weekly\nclosed -\n")),
        ("five lines", *other_text(text + "a\nb\nc\nd\ne\n")),
        ("lines of 257 bytes", *other_text(text + "x" * (MAX_LINE_BYTES + 1) + "\n")),
        ("an empty line in the text", *other_text(text + "\na\n")),
        ("lines that end in CR LF", *other_text(text.replace("\n", "\r\n"))),
        ("a control character", *other_text(text + "a\x7fb\n")),
    ]


def vectors():
    notes = notes_to_refuse()
    return {
        "about": "Heads of docs/formats.md, all of one stream. Bytes are in hex, texts and notes "
        "in UTF-8, numbers in decimal. `closed` is null of an open head, and empty without a "
        "successor. A pair says which of two heads is later, that they say the same, or that no "
        "log holds both (fork); its `proof` is a ForkProof of the two, and one only where it is a fork. "
        "What is to be refused says why; `signed` says that the key of the "
        "stream has signed just this text, which is no head all the same.",
        "secret_key": SECRET.hex(),
        "public_key": KEY.public.hex(),
        "digest": LOG.hex(),
        "stream": stream_id(LOG),
        "origin": origin(stream_id(LOG)),
        "key_id": key_id(origin(stream_id(LOG)), KEY.public).hex(),
        "vkey": vkey(stream_id(LOG), KEY.public),
        "records": [record.hex() for record in RECORDS],
        "heads": [head_vector(name, *of) for name, of in HEADS.items()],
        "pairs": [pair_vector(*pair) for pair in PAIRS],
        "refused_fields": [{"why": why, "wire": wire.hex()} for why, wire in fields_to_refuse()],
        "refused_notes": [{"why": why, "note": note, "signed": is_signed} for why, note, is_signed in notes],
    }


# -- Reading ---------------------------------------------------------------------


def of_proof(proof, digest, key):
    """The two heads in a `ForkProof` that has nothing else, each signed by the key."""
    heads, at = [], 0
    for number in (1, 2):
        kind, at = read_varint(proof, at)
        demand(kind == number << 3 | 2, "a field in another form")
        length, at = read_varint(proof, at)
        found, signature = of_wire(proof[at : at + length])
        check(found, digest)
        text = text_of(found, digest).encode()
        demand(ed25519.is_signed(key, text, signature), "not signed by the key of the stream")
        heads.append(found)
        at += length
    demand(at == len(proof), "more than two heads")
    return heads


def proves(smaller, larger):
    """Whether two heads in this order are a fork, with nothing of their trees."""
    forks = smaller["size"] == larger["size"] and smaller["root"] != larger["root"]
    return forks or goes_on_after(smaller, larger)


def read(vectors):
    """Goes by what the file says alone."""
    key, digest = bytes.fromhex(vectors["public_key"]), bytes.fromhex(vectors["digest"])
    heads = {}
    for vector in vectors["heads"]:
        name, wire = vector["name"], bytes.fromhex(vector["wire"])
        found, signature = of_wire(wire)
        check(found, digest)
        assert text_of(found, digest) == vector["text"], name
        assert ed25519.is_signed(key, vector["text"].encode(), signature), name
        assert of_note(vector["note"], digest, key) == (found, signature), name
        assert to_wire(found, signature) == wire, name
        heads[name] = found
    for pair in vectors["pairs"]:
        first, second = heads[pair["first"]], heads[pair["second"]]
        turned = {"first": "second", "second": "first"}.get(pair["later"], pair["later"])
        assert relation(first, second) == pair["later"], pair
        assert relation(second, first) == turned, pair
        proved = of_proof(bytes.fromhex(pair["proof"]), digest, key)
        assert proved in ([first, second], [second, first]), pair
        assert proves(*proved) == (pair["later"] == "fork"), pair
    for refused in vectors["refused_fields"]:
        try:
            found, signature = of_wire(bytes.fromhex(refused["wire"]))
            check(found, digest)
            text = text_of(found, digest).encode()
            demand(ed25519.is_signed(key, text, signature), "not signed by the key of the stream")
        except Refused as why:
            print(f"fields, {refused['why']}: {why}")
        else:
            raise AssertionError(refused["why"])
    for refused in vectors["refused_notes"]:
        try:
            of_note(refused["note"], digest, key)
        except Refused as why:
            print(f"a note, {refused['why']}: {why}")
        else:
            raise AssertionError(refused["why"])
    print(f"{len(heads)} heads read")


def read_proof(path):
    """The checkpoint in a proof file, by the stream and the publisher that it names."""
    with open(path, encoding="utf-8") as file:
        proof = json.load(file)
    key = of_base64(proof["publisher"])
    head, signature = of_note(proof["head"], digest_of(proof["stream"]), key)
    assert of_base64(proof["head_signature"]) == signature
    print(head["size"], head["root"].hex())


def main(arguments):
    *how, path = arguments
    if how == ["--proof"]:
        return read_proof(path)
    made = json.dumps(vectors(), indent=2, ensure_ascii=False) + "\n"
    if how == ["--write"]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(made)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert text == made, f"{path} is another file; write it with --write"
    read(json.loads(text))


main(sys.argv[1:])
