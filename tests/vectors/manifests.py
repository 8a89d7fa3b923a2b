#!/usr/bin/env python3
"""Reads docs/vectors/manifests.json with nothing but docs/formats.md, and no code
of ours: the form of a manifest, its id, its signature, what is too new."""

import base64
import hashlib
import json
import re
import sys

import ed25519

# Number: how it is written ("n" a number, "b" bytes, "t" text, a table a message),
# and whether there may be several.
PRIOR = {1: "b", 2: "n", 3: "b"}
RETENTION = {1: "n", 2: "n"}
COLUMN = {1: "t", 2: "t", 3: "n", 4: "t"}
PRIVATE = {1: "b", 2: "b", 3: "n"}
WITNESSES = {1: ["t"], 2: "n"}
MANIFEST = {
    1: "b", 2: "t", 3: "t", 4: "t", 5: "b", 6: "t", 7: "n", 8: "n", 9: "n",
    10: PRIOR, 11: "n", 12: RETENTION, 13: "n", 14: "n", 15: "b", 16: [COLUMN],
    17: "n", 18: PRIVATE, 19: "b", 20: WITNESSES, 64: "b", 65: ["t"], 66: "t", 67: "t",
}
WIRE = {"n": 0, "b": 2, "t": 2}
LARGEST = {7: 4, 11: 2, 14: 5}
# As numbers of 32 bits with a sign, which those below zero fill to 64.
SIGNED = {7, 11, 14}
FIRST_IGNORED = 64


class Refused(Exception):
    pass


def number(data, at):
    value = 0
    for place in range(10):
        if at + place >= len(data):
            raise Refused("cut off")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >= 1 << 64 or (byte == 0 and place > 0):
                raise Refused("a number that is not in its shortest form")
            return value, at + place + 1
    raise Refused("a number of more than 64 bits")


def message(data, known):
    """The known fields of a message, and the unknown ones that matter."""
    fields, newer, at, last = {}, [], 0, 0
    while at < len(data):
        key, at = number(data, at)
        field, wire = key >> 3, key & 7
        if field < 1 or field >= 1 << 29:
            raise Refused("a field that cannot be")
        if wire == 0:
            content, at = number(data, at)
        elif wire in (1, 2, 5):
            length = {1: 8, 5: 4}.get(wire)
            if length is None:
                length, at = number(data, at)
            content, at = data[at : at + length], at + length
            if at > len(data):
                raise Refused("cut off")
        else:
            raise Refused("a group")
        form = known.get(field)
        many = isinstance(form, list)
        form = form[0] if many else form
        if field < last or (field == last and form is not None and not many):
            raise Refused(f"field {field} out of order or twice")
        last = field
        if form is None:
            if field < FIRST_IGNORED:
                newer.append(field)
            continue
        if wire != (2 if isinstance(form, dict) else WIRE[form]):
            raise Refused(f"field {field} is written as something else")
        if isinstance(form, dict):
            content, inner = message(content, form)
            newer += inner
        elif form == "t":
            content = content.decode()
        if content in (0, b"", "") and not many:
            raise Refused(f"field {field} has its default")
        if many:
            fields.setdefault(field, []).append(content)
        else:
            fields[field] = content
    return fields, newer


def outcome(data):
    if len(data) > 16 * 1024:
        raise Refused("too long")
    fields, newer = message(data, MANIFEST)
    for field in SIGNED:
        if 1 << 31 <= fields.get(field, 0) < (1 << 64) - (1 << 31):
            raise Refused(f"field {field} has more than 32 bits")
    if len(fields.get(1, b"")) != 32 or fields.get(9, 0) > 12:
        raise Refused("the publisher or k is none")
    newer += [field for field, most in LARGEST.items() if fields.get(field, 0) > most]
    newer += [16 for column in fields.get(16, []) if column.get(3, 0) > 7]
    if newer:
        return "too new"
    for field, length in [(1, 32), (5, 32), (15, 16), (19, 32), (64, 32)]:
        if field in fields and len(fields[field]) != length:
            raise Refused(f"field {field} has another length")
    tags = [tag.encode() for tag in fields.get(65, [])]
    if any(one >= next_one for one, next_one in zip(tags, tags[1:])):
        raise Refused("tags are not sorted")
    for vkey in fields.get(20, {}).get(1, []):
        name, key_id, key = re.fullmatch(r"([^+]+)\+([0-9a-f]{8})\+(.+)", vkey).groups()
        key = base64.b64decode(key, validate=True)
        if hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] != key_id:
            raise Refused("the id of a witness is not that of its key")
    return "taken"


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    key, domain = bytes.fromhex(vectors["publisher"]), bytes.fromhex(vectors["domain"])
    for vector in vectors["manifests"]:
        data = bytes.fromhex(vector["bytes"])
        cid = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
        name = "b" + base64.b32encode(cid).decode().lower().rstrip("=")
        assert name == vector["id"], (vector["name"], name)
        signature = bytes.fromhex(vector["signature"])
        assert ed25519.is_signed(key, domain + data, signature), vector["name"]
        assert not ed25519.is_signed(key, domain + data + b"x", signature), vector["name"]
        try:
            found = outcome(data)
        except Refused as refused:
            found = "refused"
            print(f"{vector['name']}: {refused}")
        assert found == vector["outcome"], (vector["name"], found)
    print(f"{len(vectors['manifests'])} manifests read")


main(sys.argv[1])
