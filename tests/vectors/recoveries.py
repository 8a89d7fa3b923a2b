#!/usr/bin/env python3
"""Makes docs/vectors/recoveries.json with nothing but docs/formats.md, and no code of
ours, and reads it again: recoveries, what several of them come to, and what is none.

    recoveries.py FILE           is the file what is made here?
    recoveries.py --write FILE   writes it
"""

import hashlib
import json
import sys

import ed25519
from checkpoint import Refused, check, demand, long, of_wire, read_varint, text_of, to_wire, varint

OWNER, DRAWER = ed25519.Key(bytes([1] * 32)), ed25519.Key(bytes([2] * 32))
STRANGER = ed25519.Key(bytes([3] * 32))
LOG, SUCCESSOR, OTHER = bytes([5] * 32), bytes([7] * 32), bytes([9] * 32)
ROOT = bytes([6] * 32)
TIME = 1_790_000_000_000_000
DOMAIN = b"headwater/1/recovery\0"
MAX_BYTES, MAX_SIGNED_BYTES = 4 * 1024, 16 * 1024
LARGEST_TIME = (1 << 63) - 1


def head(size=300, root=ROOT, key=OWNER, log=LOG, **fields):
    """A `SignedHead`."""
    plain = {"size": size, "root": root, "time": TIME, "closed": None, "lines": [], **fields}
    return to_wire(plain, key.sign(text_of(plain, log).encode()))


def statement(stream=LOG, of=None, successor=b"", issued=TIME + 1):
    """A `Recovery`."""
    written = long(1, stream) + long(2, of or head())
    if successor:
        written += long(3, successor)
    if issued:
        written += b"\x20" + varint(issued)
    return written


def signed(recovery, key=DRAWER, kind=1, domain=DOMAIN, signature=None):
    """A `SignedRecovery`."""
    signature = signature or key.sign(domain + recovery)
    written = long(1, recovery)
    if kind:
        written += b"\x10" + varint(kind)
    return written + long(3, key.public) + long(4, signature)


def key_hash(key, kind=1):
    return hashlib.sha256(bytes([kind]) + key).digest()


def padded(length):
    """One with so many bytes, the last of which are of a field that is ignored."""
    plain = statement()
    # Its key has two bytes, and so has its length.
    return plain + long(70, bytes(length - len(plain) - 4))


HOLDS = [
    ("plain", "the head of 300 records is the last one", statement()),
    ("with a successor", "and another stream goes on", statement(successor=SUCCESSOR)),
    ("with another successor", "a second word of the key", statement(successor=OTHER)),
    ("said again", "the same as `plain`, later", statement(issued=TIME + 2)),
    ("of the first moment", "issued when 1970 began", statement(issued=0)),
    ("smaller", "a head of 200 records", statement(of=head(size=200))),
    ("other tree", "a head of that size with another root", statement(of=head(root=bytes([8] * 32)))),
    ("an end", "the owner's last head", statement(of=head(closed=b""))),
    ("with lines", "a head with a line of a later version", statement(of=head(lines=["archive 3"]))),
    ("field 64", "with a field of a later version, which is ignored", statement() + long(64, b"later")),
    ("as long as it may be", "4 KiB", padded(MAX_BYTES)),
]

# Names of recoveries in any order, which one counts, and the successor that the stream has.
SEVERAL = [
    (["plain"], "plain", ""),
    (["with a successor"], "with a successor", SUCCESSOR.hex()),
    (["said again", "plain"], "plain", ""),
    (["plain", "with a successor"], "plain", ""),
    (["with another successor", "with a successor"], "with a successor", ""),
    (["plain", "smaller"], "smaller", ""),
    (["other tree", "plain"], "plain", ""),
    (["with a successor", "other tree", "smaller"], "smaller", ""),
]


def newer():
    yield "field 40", signed(statement() + long(40, b"later"))
    yield "field 63", signed(statement() + long(63, b"later"))


def refused():
    plain = statement()
    odd = statement(successor=SUCCESSOR)
    yield "signed by another key than the manifest names", signed(plain, key=STRANGER)
    yield "signed by the owner of the stream", signed(plain, key=OWNER)
    yield "the signature of another recovery", signed(plain, signature=DRAWER.sign(DOMAIN + odd))
    yield "signed as a manifest", signed(plain, domain=b"headwater/1/manifest\0")
    yield "a signature of 63 bytes", signed(plain, signature=DRAWER.sign(DOMAIN + plain)[:-1])
    yield "another type of key", signed(plain, kind=2)
    yield "no type", signed(plain, kind=0)
    yield "of another stream", signed(statement(stream=OTHER, of=head(log=OTHER)))
    yield "of a stream of 31 bytes", signed(statement(stream=LOG[1:]))
    yield "a head that another key has signed", signed(statement(of=head(key=DRAWER)))
    yield "a head of another stream", signed(statement(of=head(log=OTHER)))
    yield "a head that is none", signed(statement(of=head(size=1 << 63)))
    yield "no head", signed(long(1, LOG) + b"\x20" + varint(TIME))
    yield "its own successor", signed(statement(successor=LOG))
    yield "a successor of 31 bytes", signed(statement(successor=SUCCESSOR[1:]))
    yield "issued in a time of 64 bits", signed(statement(issued=LARGEST_TIME + 1))
    yield "a time that is not in its shortest form", signed(statement(issued=0) + b"\x20\x81\x00")
    yield "a default that is written", signed(statement(issued=0) + b"\x20\x00")
    yield "the stream twice", signed(long(1, LOG) + plain)
    yield "fields out of order", signed(long(2, head()) + long(1, LOG))
    yield "cut off", signed(plain[:-1])
    yield "a byte more than it may have", signed(padded(MAX_BYTES + 1))


def vectors():
    recoveries = []
    for name, says, recovery in HOLDS:
        fields, _ = fields_of(recovery)
        of, _ = of_wire(fields[2])
        recoveries.append(
            {
                "name": name,
                "says": says,
                "wire": signed(recovery).hex(),
                "size": str(of["size"]),
                "root": of["root"].hex(),
                "successor": fields.get(3, b"").hex(),
                "issued": str(fields.get(4, 0)),
            }
        )
    return {
        "about": "Recoveries of docs/formats.md, all of one stream, as SignedRecovery in hex; numbers "
        "in decimal, an absent successor empty. Of several it is said which one counts, and the "
        "successor that the stream has then. What is newer is not heeded, and nobody is to blame; "
        "what is refused says why.",
        "stream": LOG.hex(),
        "owner": OWNER.public.hex(),
        "recovery_key": DRAWER.public.hex(),
        "recovery": key_hash(DRAWER.public).hex(),
        "secret_keys": {"owner": bytes([1] * 32).hex(), "recovery": bytes([2] * 32).hex()},
        "recoveries": recoveries,
        "several": [{"of": of, "counts": counts, "successor": then} for of, counts, then in SEVERAL],
        "newer": [{"why": why, "wire": wire.hex()} for why, wire in newer()],
        "refused": [{"why": why, "wire": wire.hex()} for why, wire in refused()],
    }


# -- Reading ---------------------------------------------------------------------


def fields_of(data):
    """The fields of a `Recovery`, and the numbers of those that are not known."""
    fields, unknown, at, last = {}, [], 0, 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        demand(number > last or number == last >= 64, "fields out of order, or twice")
        last = number
        demand(kind in (0, 2), "a field in another form")
        value, at = read_varint(data, at)
        if kind == 2:
            value, at = data[at : at + value], at + value
            demand(at <= len(data), "cut off")
        if number <= 4:
            demand(kind == (0 if number == 4 else 2), "a field in another form")
            demand(value, "a default that is written")
            fields[number] = value
        else:
            unknown.append(number)
    return fields, unknown


def envelope_of(data):
    """Recovery, type, key and signature."""
    found, at = {2: 0}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found[key >> 3] = value
    return found[1], found[2], found[3], found[4]


def read_one(wire, stream, owner, recovery_hash):
    """Size, root, successor and issued; `None` of a later version."""
    demand(len(wire) <= MAX_SIGNED_BYTES, "too long")
    recovery, kind, key, signature = envelope_of(wire)
    demand(kind < 256 and key_hash(key, kind) == recovery_hash, "another key than the manifest names")
    if kind != 1:
        return None
    demand(ed25519.is_signed(key, DOMAIN + recovery, signature), "not signed by its key")
    demand(len(recovery) <= MAX_BYTES, "too long")
    fields, unknown = fields_of(recovery)
    if any(number < 64 for number in unknown):
        return None
    demand(fields.get(1) == stream, "of another stream")
    demand(2 in fields, "no head")
    successor, issued = fields.get(3, b""), fields.get(4, 0)
    demand(len(successor) in (0, 32) and successor != stream, "no successor")
    demand(issued <= LARGEST_TIME, "a time that cannot be")
    of, head_signature = of_wire(fields[2])
    check(of, stream)
    text = text_of(of, stream).encode()
    demand(ed25519.is_signed(owner, text, head_signature), "a head that the owner has not signed")
    return of["size"], of["root"], successor, issued


def read(vectors):
    """Goes by what the file says alone."""
    known = [bytes.fromhex(vectors[name]) for name in ("stream", "owner", "recovery")]
    assert key_hash(bytes.fromhex(vectors["recovery_key"])) == known[2]
    found = {}
    for vector in vectors["recoveries"]:
        size, root, successor, issued = read_one(bytes.fromhex(vector["wire"]), *known)
        said = [str(size), root.hex(), successor.hex(), str(issued)]
        assert said == [vector[name] for name in ("size", "root", "successor", "issued")], vector
        found[vector["name"]] = (size, root, successor, issued)
    for several in vectors["several"]:
        choices = {found[name][:3] for name in several["of"]}
        counts = min(several["of"], key=lambda name: found[name])
        assert counts == several["counts"], several
        successor = found[counts][2] if len(choices) == 1 else b""
        assert successor.hex() == several["successor"], several
    for vector in vectors["newer"]:
        assert read_one(bytes.fromhex(vector["wire"]), *known) is None, vector["why"]
    for vector in vectors["refused"]:
        try:
            read_one(bytes.fromhex(vector["wire"]), *known)
        except Refused as why:
            print(f"{vector['why']}: {why}")
        else:
            raise AssertionError(vector["why"])
    print(f"{len(found)} recoveries read")


def main(arguments):
    *how, path = arguments
    made = json.dumps(vectors(), indent=2, ensure_ascii=False) + "\n"
    if how == ["--write"]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(made)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert text == made, f"{path} is another file; write it with --write"
    read(json.loads(text))


main(sys.argv[1:])
