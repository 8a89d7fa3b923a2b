"""Ed25519, as RFC 8032 has it, in plain Python: slow, and nobody else's code."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point(data):
    """The point that 32 bytes stand for, or none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square:
        return None
    return ((x if x & 1 == sign else P - x), y)


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def written(a):
    x, y = a
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(scalar, a):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, a)
        a, scalar = add(a, a), scalar >> 1
    return result


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def is_signed(key, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    points = point(r), point(key)
    if len(signature) != 64 or s >= L or None in points:
        return False
    return times(s, BASE) == add(points[0], times(number(r, key, message), points[1]))


class Key:
    """A secret key: 32 bytes."""

    def __init__(self, secret):
        hashed = hashlib.sha512(secret).digest()
        scalar = int.from_bytes(hashed[:32], "little")
        self.scalar = scalar & ((1 << 254) - 8) | 1 << 254
        self.prefix = hashed[32:]
        self.public = written(times(self.scalar, BASE))

    def sign(self, message):
        nonce = number(self.prefix, message)
        r = written(times(nonce, BASE))
        s = (nonce + number(r, self.public, message) * self.scalar) % L
        return r + s.to_bytes(32, "little")
