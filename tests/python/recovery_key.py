"""Reads a recovery key as docs/formats.md describes it. Arguments: the file (the
secret one or its public half), and the file of the passphrase if it has one. Prints
what is in it, with the public keys made anew from the secret ones, as JSON."""

import hashlib
import json
import sys
import unicodedata

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SECRET, PUBLIC = "headwater recovery key 1", "headwater recovery public key 1"


def grouped(data):
    digits = data.hex()
    return " ".join(digits[at:at + 8] for at in range(0, len(digits), 8))


def lines_of(text):
    """What counts: no empty lines, no remarks, one space, lower case, and what was
    broken over several lines as one."""
    lines = [" ".join(line.split()).lower() for line in text.split("\n")]
    whole = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        if len(whole) > 1 and ":" not in line:
            whole[-1] += " " + line
        else:
            whole.append(line)
    return whole


def read(text, passphrase=None):
    first, *rest = lines_of(text)
    assert first in (SECRET, PUBLIC), first
    names = ["signature-type", "signing-key", "hpke", "reader-key", "recovery"]
    names += ["passphrase", "secret"] if first == SECRET else []
    fields = dict(line.split(": ", 1) for line in rest)
    assert list(fields) == names + ["check"], list(fields)
    data = {name: bytes.fromhex(fields[name].replace(" ", "")) for name in
            ("signing-key", "reader-key", "recovery", "secret", "check") if name in fields}
    for name in data:
        if name != "check":
            fields[name] = grouped(data[name])
    text = "".join([first + "\n"] + [f"{name}: {fields[name]}\n" for name in names])
    assert hashlib.sha256(text.encode()).digest()[:4] == data["check"], "a typo"

    kind = int(fields["signature-type"])
    assert kind == 1 and fields["hpke"] == "kem=0020 kdf=0001 aead=0003"
    recovery = hashlib.sha256(bytes([kind]) + data["signing-key"]).digest()
    assert recovery == data["recovery"]
    found = {"recovery": recovery.hex(), "signing_key": data["signing-key"].hex(),
             "reader_key": data["reader-key"].hex()}
    if first == PUBLIC:
        return found

    secret = data["secret"]
    if fields["passphrase"] != "none":
        method, *pairs = fields["passphrase"].split()
        cost = dict(pair.split("=") for pair in pairs)
        assert method == "argon2id" and cost["v"] == "19" and cost["aead"] == "0003"
        words = unicodedata.normalize("NFC", passphrase).encode()
        key = Argon2id(salt=bytes.fromhex(cost["salt"]), length=32, iterations=int(cost["t"]),
                       lanes=int(cost["p"]), memory_cost=int(cost["m"])).derive(words)
        before = text[:text.index("secret: ")]
        secret = ChaCha20Poly1305(key).decrypt(bytes(12), secret, before.encode())
    signing = Ed25519PrivateKey.from_private_bytes(secret[:32])
    reader = X25519PrivateKey.from_private_bytes(secret[32:])
    assert signing.public_key().public_bytes_raw() == data["signing-key"]
    assert reader.public_key().public_bytes_raw() == data["reader-key"]
    return found


if __name__ == "__main__":
    words = None
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8", newline="") as file:
            words = file.read().removesuffix("\n").removesuffix("\r")
    with open(sys.argv[1], encoding="utf-8-sig") as file:
        print(json.dumps(read(file.read(), words)))
