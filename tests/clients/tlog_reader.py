"""Reads a log over HTTP as C2SP tlog-tiles describes it, with the standard library alone.

    tlog_reader.py BASE [SIZE]

Prints JSON: what the checkpoint says, what the bundles come to, and the leaves. With SIZE also the root of that beginning.
"""

import base64
import hashlib
import json
import sys
import urllib.request

WIDTH = 256


def get(url, kind):
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.headers["Content-Type"] == kind, answer.headers["Content-Type"]
        return answer.read(), answer.headers["Cache-Control"]


def path(index):
    parts = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        parts.insert(0, "x%03d" % (index % 1000))
    return "/".join(parts)


def tile(base, level, index, size):
    """The tile or bundle as a tree of that size has it."""
    there = (size >> (8 * (0 if level == "entries" else level))) - index * WIDTH
    suffix = "" if there >= WIDTH else ".p/%d" % there
    url = "%s/tile/%s/%s%s" % (base, level, path(index), suffix)
    body, kept = get(url, "application/octet-stream")
    assert "immutable" in kept, kept
    return body


def root(hashes):
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return hashlib.sha256(b"\x01" + root(hashes[:half]) + root(hashes[half:])).digest()


def bundles(base, size):
    leaves = []
    for index in range((size + WIDTH - 1) // WIDTH):
        body = tile(base, "entries", index, size)
        while body:
            length = int.from_bytes(body[:2], "big")
            assert len(body) >= 2 + length
            leaves.append(body[2 : 2 + length])
            body = body[2 + length :]
    return leaves


def hash_tiles(base, size, hashes):
    """Every tile of every level holds the hashes that follow from the leaves."""
    level = 0
    while hashes:
        for index in range((len(hashes) + WIDTH - 1) // WIDTH):
            assert tile(base, level, index, size) == b"".join(hashes[index * WIDTH : (index + 1) * WIDTH])
        full = len(hashes) // WIDTH
        hashes = [root(hashes[i * WIDTH : (i + 1) * WIDTH]) for i in range(full)]
        level += 1


def main():
    base = sys.argv[1]
    note, kept = get(base + "/checkpoint", "text/plain; charset=utf-8")
    assert kept == "no-cache", kept
    origin, size, said = note.decode().split("\n")[:3]
    leaves = bundles(base, int(size))
    hashes = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    hash_tiles(base, int(size), hashes)
    out = {
        "note": note.decode(),
        "origin": origin,
        "size": int(size),
        "said": said,
        "root": base64.b64encode(root(hashes)).decode(),
        "leaves": [leaf.decode() for leaf in leaves],
    }
    if len(sys.argv) > 2:
        out["before"] = base64.b64encode(root(hashes[: int(sys.argv[2])])).decode()
    json.dump(out, sys.stdout)


main()
