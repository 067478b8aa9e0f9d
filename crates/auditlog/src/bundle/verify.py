#!/usr/bin/env python3
"""Judges a bundle of evidence that Firsthand exported, with nothing but Python 3.9 and its standard library.

    python3 -I verify.py BUNDLE.tar|FOLDER [--key VKEYFILE] [--policy FILE] [--since CHECKPOINT]
                         [--now TIME] [--max-age 90s|5m|24h] [--json]

Exit: 0 all holds (what is to be known is listed), 3 something does not hold, 1 there is nothing to judge, 2 wrong arguments.

It shares no code with `firsthand verify BUNDLE`, and both give the same verdicts and the same codes; docs/evidence.md and
docs/verify.md of Firsthand say what each means. What it does, in the order of this file:

 1. signatures: Ed25519 (RFC 8032), C2SP signed notes, checkpoints, witnesses' cosignatures and policies;
 2. strict JSON: leaves are RFC 8785 JSON of one spelling, and so are manifest, ranges and payloads;
 3. the container: a plain tar, or a folder, with no other members than a bundle has;
 4. the tree (RFC 6962): hashes of what is left, the leaves, hashes of what is right lead to the root that was signed;
 5. the story: each command has one outcome, approvals precede what they are spent on, clocks go forward;
 6. the scope: the payloads shown are those that the leaves commit to, the others are counted.
"""

import argparse
import base64
import datetime
import functools
import hashlib
import io
import json
import os
import re
import stat
import sys
import time

BLOCK = 512
MEMBERS_MAX = 8192
EPOCHS_MAX = 1000
IDS_MAX = 64
POLICIES_MAX = 1000
MEMBER_MAX = (8 << 30) - 1
WHOLE_MAX = 64 << 20
SMALL_MAX = 1 << 20
LEAF_MAX = 16 << 10
PAYLOAD_LINE_MAX = (2 << 20) // 3 * 4 + 256
SIZE_MAX = (1 << 63) - 1
U64_MAX = (1 << 64) - 1
DEPTH = 12
FINDINGS_KEPT = 500
APPROVALS_MAX = 1 << 18
OPEN_MAX = 4 << 16
STEP_US, STEPS_KEPT, SILENCE_US, AHEAD_US = 1_000_000, 64, 150_000_000, 60_000_000
ALWAYS = ("README.txt", "SHA256SUMS", "keys", "manifest.json", "summary.html", "verify.py")
OF_EPOCH = ("checkpoint", "leaves.jsonl", "payloads.jsonl", "range.json", "vkey")
PAYLOAD_TAG = b"firsthand/payload/v1\0"
ASPECTS = ("integrity", "completeness", "freshness", "disclosure", "semantics")
# Kinds of entries, as docs/record.md lists them.
KINDS = frozenset("""
admin.approval_differs admin.ca_made admin.certificate_failed admin.certificate_issued admin.certificate_revoked
admin.channel_failed admin.channel_refused admin.channel_sent admin.contain_differs admin.contain_lifted
admin.contained admin.reloaded admin.session_killed admin.target_asked approval.answer_refused approval.asked
approval.expired approval.given approval.glass_broken approval.previewed approval.refused approval.spent
approval.withdrawn command.abandoned command.changed command.completed command.decided command.rows grant.asked
grant.ended grant.expired grant.given grant.refused grant.revoked grant.used_up identity.refused
identity.token_created identity.token_differs identity.token_exchanged identity.token_failed identity.token_revoked
identity.token_signed_in log.clock log.erased log.gap log.heartbeat log.key log.oversize log.pruned log.recovered
log.sealed log.started log.stopped record.exported record.read role.dropped role.failed role.made role.swept
session.closed session.noted session.opened session.refused stream target.asked transaction.changed transaction.ended
transaction.named
""".split())


# ---------------------------------------------------------------------------------------------------------------------
# 1. Signatures

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    """Adds two points of the curve in extended coordinates (RFC 8032, 5.1.4)."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_mul(n, point):
    out = (0, 1, 1, 0)
    while n > 0:
        if n & 1:
            out = point_add(out, point)
        point = point_add(point, point)
        n >>= 1
    return out


def point_encode(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * ROOT_OF_MINUS_1 % P
    if v * x * x % P != u or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=1024)
def ed25519_verify(public, message, signature):
    """RFC 8032, 5.1.7, without the cofactor: R is what S and the message lead to, byte for byte."""
    if len(public) != 32 or len(signature) != 64:
        return False
    point = point_decode(public)
    s = int.from_bytes(signature[32:], "little")
    if point is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = (P - point[0], point[1], 1, P - point[3])
    return point_encode(point_add(point_mul(s, BASE), point_mul(h, minus))) == signature[:32]


class Wrong(Exception):
    """What was read is not what it should be."""


def unbase64(text):
    """Base64 of one spelling, or None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    if isinstance(text, str):
        text = text.encode()
    return raw if base64.b64encode(raw) == text else None


def unhash(text):
    raw = unbase64(text)
    return raw if raw is not None and len(raw) == 32 else None


def decimal(text):
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII):
        return None
    number = int(text)
    return number if number <= U64_MAX else None


def is_name(name):
    return bool(name) and not any(c.isspace() or c == "+" or c < " " for c in name)


class Key:
    """A public key with its name: NAME+ID+BASE64. Kind 1 signs notes, kind 4 cosigns checkpoints."""

    def __init__(self, name, kind, public):
        if not is_name(name) or len(name.encode()) > 255:
            raise Wrong("no name of a key")
        self.name, self.kind, self.public = name, kind, public
        self.id = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]

    @staticmethod
    def parse(text):
        if len(text.encode()) > len("PRIVATE+KEY+") + 255 + 10 + 44:
            raise Wrong("too long for a key")
        parts = text.split("+", 2)
        if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
            raise Wrong("a key is NAME+ID+BASE64")
        raw = unbase64(parts[2]) if parts[2].isascii() else None
        if not raw or raw[0] not in (1, 4) or len(raw) != 33:
            raise Wrong("no Ed25519 key")
        key = Key(parts[0], raw[0], raw[1:])
        if key.id.hex() != parts[1]:
            raise Wrong("the id is not that of name and key")
        return key


def parse_keys(text):
    """Keys, one a line; lines with # are left out."""
    lines = (line.strip(" \t\r\x0b\x0c") for line in text.split("\n"))
    return [Key.parse(line) for line in lines if line and not line.startswith("#")]


class Note:
    """A text, an empty line, and who signed it."""

    def __init__(self, data):
        if len(data) > 512 * 1024:
            raise Wrong("too long for a note")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong("no UTF-8") from None
        text, empty, lines = whole.rpartition("\n\n")
        self.text = text + "\n"
        if not empty or len(self.text.encode()) >= 512 * 1024 or not lines.endswith("\n"):
            raise Wrong("a note is a text, an empty line, and signatures")
        if any(ord(c) < 32 and c != "\n" for c in whole):
            raise Wrong("control characters")
        self.signatures = []
        for line in lines[:-1].split("\n"):
            match = re.fullmatch("— ([^ ]*) (.*)", line, re.DOTALL)
            raw = unbase64(match[2]) if match and match[2].isascii() else None
            if not raw or len(raw) < 5 or not is_name(match[1]) or len(self.signatures) == 64:
                raise Wrong("a signature line that is none")
            self.signatures.append((match[1], raw[:4], raw[4:]))

    def verify(self, keys):
        """Which of the keys signed, with the time of a cosignature. A line that claims one of them and is bad spoils all."""
        found = {}
        for name, key_id, data in self.signatures:
            for at, key in enumerate(keys):
                if (key.name, key.id) != (name, key_id):
                    continue
                moment = self.good(key, data)
                if moment is None:
                    raise Wrong("the signature of %s does not verify" % name)
                found[at] = max(found.get(at, 0), moment)
        if not found:
            raise Wrong("no known key signed it")
        return found

    def good(self, key, data):
        if key.kind == 1:
            return 0 if ed25519_verify(key.public, self.text.encode(), data) else None
        if len(data) != 72:
            return None
        moment = int.from_bytes(data[:8], "big")
        message = "cosignature/v1\ntime %d\n%s" % (moment, self.text)
        if moment > SIZE_MAX or not ed25519_verify(key.public, message.encode(), data[8:]):
            return None
        try:
            Checkpoint(self.text)
        except Wrong:
            return None
        return moment


class Checkpoint:
    """Origin, size and root of a tree."""

    def __init__(self, text):
        if not text.endswith("\n"):
            raise Wrong("no checkpoint")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or "" in lines:
            raise Wrong("a checkpoint is three lines or more, none empty")
        size, root = decimal(lines[1]), unhash(lines[2]) if lines[2].isascii() else None
        if size is None or size > SIZE_MAX or root is None:
            raise Wrong("no size or no root")
        if len(lines[0].encode()) > 255 or any(ord(c) < 32 for c in lines[0]):
            raise Wrong("no origin")
        if size == 0 and root != hashlib.sha256().digest():
            raise Wrong("not the root of an empty tree")
        self.origin, self.size, self.root = lines[0], size, root


class Policy:
    """C2SP tlog-policy: logs, witnesses, groups, and whose cosignatures are enough."""

    def __init__(self, data):
        if len(data) > 256 * 1024 or not data.endswith(b"\n"):
            raise Wrong("too long, or cut")
        self.logs, self.witnesses, self.groups, self.quorum = [], [], [], None
        self.names, self.taken = {}, set()
        for line in data[:-1].split(b"\n"):
            if any((b < 32 and b != 9) or b == 127 for b in line):
                raise Wrong("a control character")
            words = [word for word in re.split(b"[ \t]", line) if word]
            if words and not words[0].startswith(b"#"):
                self.line(words[0], words[1:])
        if self.quorum is None:
            raise Wrong("no quorum line")

    def line(self, word, words):
        if word == b"log" and 1 <= len(words) <= 2 and len(self.logs) < 32:
            self.logs.append(self.key(words[0], 1, self.logs))
        elif word == b"witness" and 2 <= len(words) <= 3 and len(self.witnesses) < 48:
            key = self.key(words[1], 4, self.witnesses)
            self.name(words[0], ("witness", len(self.witnesses)))
            self.witnesses.append(key)
        elif word == b"group" and len(words) >= 3 and len(self.groups) < 64:
            members = []
            for name in words[2:]:
                if name not in self.names or name in self.taken:
                    raise Wrong("a member that is unknown, or in a group already")
                self.taken.add(name)
                members.append(self.names[name])
            number = {b"all": len(members), b"any": 1}.get(words[1]) or decimal(words[1].decode("latin-1")) or 0
            if not 1 <= number <= len(members):
                raise Wrong("no threshold")
            self.name(words[0], ("group", len(self.groups)))
            self.groups.append((number, members))
        elif word == b"quorum" and len(words) == 1 and self.quorum is None:
            if words[0] != b"none" and words[0] not in self.names:
                raise Wrong("an unknown quorum")
            self.quorum = (self.names.get(words[0]),)
        else:
            raise Wrong("not log, witness, group or quorum as they should be, or too many")

    def key(self, text, kind, others):
        try:
            key = Key.parse(text.decode("utf-8"))
        except UnicodeDecodeError:
            raise Wrong("no key") from None
        if key.kind != kind or any(other.public == key.public for other in others):
            raise Wrong("a key of the other kind, or twice")
        return key

    def name(self, name, member):
        if name == b"none" or name in self.names:
            raise Wrong("a name that is taken")
        self.names[name] = member

    def accept(self, note):
        """Raises Wrong where the note is not of a log of the policy under its quorum."""
        signed = note.verify(self.logs + self.witnesses)
        origin = Checkpoint(note.text).origin
        if not any(at < len(self.logs) and self.logs[at].name == origin for at in signed):
            raise Wrong("no log of the policy signed it")
        met = {("witness", at - len(self.logs)) for at in signed if at >= len(self.logs)}
        for at, (threshold, members) in enumerate(self.groups):
            if sum(member in met for member in members) >= threshold:
                met.add(("group", at))
        if self.quorum[0] is not None and self.quorum[0] not in met:
            raise Wrong("the quorum is not met")


# ---------------------------------------------------------------------------------------------------------------------
# 2. Strict JSON: values are kept as they stand, because there is one way only to write each

STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(?:0[0-7bef]|1[0-9a-f]))*"')
NUMBER = re.compile(rb"-?[0-9]+")
WORD = re.compile(rb"true|false|null")


def scan(data, at, depth):
    """Where the value ends that begins at `at`."""
    first = data[at:at + 1]
    if first == b'"':
        match = STRING.match(data, at)
        if not match:
            raise Wrong("no string")
        return match.end()
    if first == b"{":
        return scan_object(data, at, depth, None)
    if first == b"[":
        return scan_list(data, at, depth, None)
    match = NUMBER.match(data, at)
    if match:
        digits = match[0].lstrip(b"-")
        zero = digits[:1] == b"0" and (len(digits) > 1 or match[0][:1] == b"-")
        if zero or len(digits) > 16 or int(digits) >= 1 << 53 or data[match.end():match.end() + 1] in (b".", b"e", b"E"):
            raise Wrong("no whole number below 2^53")
        return match.end()
    match = WORD.match(data, at)
    if not match:
        raise Wrong("no value")
    return match.end()


def scan_object(data, at, depth, into):
    if depth == 0 or data[at:at + 1] != b"{":
        raise Wrong("no object, or too deep")
    at, before = at + 1, None
    if data[at:at + 1] == b"}":
        return at + 1
    while True:
        match = STRING.match(data, at)
        key = match[0][1:-1] if match else None
        if key is None or (before is not None and before >= key) or data[match.end():match.end() + 1] != b":":
            raise Wrong("no key, or keys that are not in order")
        before = key
        end = scan(data, match.end() + 1, depth - 1)
        if into is not None:
            into[key] = data[match.end() + 1:end]
        at, mark = end + 1, data[end:end + 1]
        if mark == b"}":
            return at
        if mark != b",":
            raise Wrong("an object that does not go on")


def scan_list(data, at, depth, into):
    if depth == 0 or data[at:at + 1] != b"[":
        raise Wrong("no list, or too deep")
    at += 1
    if data[at:at + 1] == b"]":
        return at + 1
    while True:
        end = scan(data, at, depth - 1)
        if into is not None:
            into.append(data[at:end])
        at, mark = end + 1, data[end:end + 1]
        if mark == b"]":
            return at
        if mark != b",":
            raise Wrong("a list that does not go on")


def members(data):
    """The keys and values of an object that is all of `data`."""
    found = {}
    if scan_object(data, 0, DEPTH, found) != len(data):
        raise Wrong("more follows")
    return found


def parts(data):
    """The same of a part of a leaf that was read already; nothing where it is no object."""
    try:
        return members(data) if data else {}
    except Wrong:
        return {}


def elements(data):
    found = []
    try:
        scan_list(data, 0, DEPTH, found)
    except Wrong:
        return []
    return found


def text(value):
    """What stands between the quotes; empty where it is no string."""
    return value[1:-1] if len(value) >= 2 and value[:1] == b'"' and value[-1:] == b'"' else b""


def number(value):
    """A whole number, or the text that stands for a large one."""
    digits = text(value) if value[:1] == b'"' else value
    if not re.fullmatch(rb"[0-9]+", digits):
        return None
    found = int(digits) if len(digits.lstrip(b"0")) <= 20 else U64_MAX + 1
    return found if found <= U64_MAX else None


def leaf_fields(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("no UTF-8") from None
    return members(data)


TIME = re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z")
DAY_ONE = datetime.date(1970, 1, 1).toordinal()


def moment(data):
    """Microseconds since 1970 of a time as the log writes it, or None."""
    match = TIME.fullmatch(data)
    if not match:
        return None
    year, month, day, hour, minute, second, micros = map(int, match.groups())
    try:
        days = datetime.date(year, month, day).toordinal() - DAY_ONE
    except ValueError:
        return None
    if days < 0 or hour > 23 or minute > 59 or second > 60:
        return None
    return ((days * 24 + hour) * 3600 + minute * 60 + second) * 1_000_000 + micros


# ---------------------------------------------------------------------------------------------------------------------
# 3. The container

def epoch_of(folder):
    return int(folder[1:]) if re.fullmatch("e[1-9][0-9]{0,14}", folder, re.ASCII) else None


def is_member(name):
    if name in ALWAYS or name == "policy":
        return True
    folder, slash, file = name.partition("/")
    if slash and folder == "policies":
        return bool(re.fullmatch("[a-z0-9-]{1,64}", file))
    return bool(slash) and epoch_of(folder) is not None and file in OF_EPOCH


def tar_header(name, size, moment_):
    """The one header that this member can have (ustar)."""
    fields = (name.ljust(100, b"\0") + b"0000600\0" + b"0000000\0" * 2 + b"%011o\0%011o\0" % (size, moment_) + b" " * 8 + b"0")
    block = bytearray(fields.ljust(257, b"\0") + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2).ljust(BLOCK, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


class Members:
    """Name → (open file, offset, length)."""

    def __init__(self):
        self.all = {}

    @staticmethod
    def open(path):
        found = Members()
        if os.path.isdir(path):
            for name in found.listed(path):
                inner = os.path.join(path, name)
                if stat.S_ISDIR(os.lstat(inner).st_mode):
                    for file in found.listed(inner):
                        found.add_file(name + "/" + file, os.path.join(inner, file))
                else:
                    found.add_file(name, inner)
        else:
            found.tar(open(path, "rb"))
        return found.whole()

    @staticmethod
    def of_bytes(data):
        found = Members()
        found.tar(io.BytesIO(data))
        return found.whole()

    def listed(self, path):
        names = sorted(os.listdir(path))
        if len(names) > MEMBERS_MAX:
            raise Wrong("too many files")
        return names

    def add_file(self, name, path):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Wrong("%r is no plain file" % name)
        self.check(name, os.lstat(path).st_size)
        self.all[name] = (path, 0, os.lstat(path).st_size)

    def check(self, name, size):
        if not is_member(name):
            raise Wrong("%r: no name that a bundle has" % name[:100])
        if size > (MEMBER_MAX if is_streamed(name) else WHOLE_MAX):
            raise Wrong("%s is too long" % name)
        if len(self.all) >= MEMBERS_MAX or name in self.all:
            raise Wrong("%s: too many members, or two of this name" % name)

    def tar(self, file):
        total, at = file.seek(0, 2), 0
        while True:
            file.seek(at)
            block = file.read(BLOCK)
            if len(block) < BLOCK:
                raise Wrong("the tar ends without its two empty blocks")
            if block == bytes(BLOCK):
                break
            name, sizes = block[:100].split(b"\0")[0], block[124:135] + block[136:147]
            if len(name) > 99 or not name or not re.fullmatch(rb"[0-7]{22}", sizes):
                raise Wrong("byte %d: no header as bundles have them" % at)
            size = int(sizes[:11], 8)
            if block != tar_header(name, size, int(sizes[11:], 8)):
                raise Wrong("byte %d: no header as bundles have them" % at)
            offset, pad = at + BLOCK, -size % BLOCK
            if offset + size + pad > total:
                raise Wrong("the tar ends within %r" % name)
            file.seek(offset + size)
            if file.read(pad) != bytes(pad):
                raise Wrong("bytes behind the end of %r" % name)
            try:
                name = name.decode("utf-8")
            except UnicodeDecodeError:
                raise Wrong("no name that a bundle has") from None
            self.check(name, size)
            self.all[name] = (file, offset, size)
            at = offset + size + pad
        file.seek(at)
        if total != at + 2 * BLOCK or file.read() != bytes(2 * BLOCK):
            raise Wrong("not the two empty blocks that end a tar")

    def whole(self):
        for name in ALWAYS:
            if name not in self.all:
                raise Wrong("%s is missing" % name)
        return self

    def pieces(self, name):
        if name not in self.all:
            return
        file, at, left = self.all[name]
        own = isinstance(file, str)
        if own:
            file = open(file, "rb")
        try:
            while left > 0:
                file.seek(at)
                piece = file.read(min(left, 256 << 10))
                if not piece:
                    return
                yield piece
                at, left = at + len(piece), left - len(piece)
        finally:
            if own:
                file.close()

    def read(self, name, most=SMALL_MAX):
        if name not in self.all or self.all[name][2] > most:
            return b""
        return b"".join(self.pieces(name))

    def lines(self, name, most):
        """The lines of a member with the byte where each begins."""
        held, byte = b"", 0
        for piece in self.pieces(name):
            held += piece
            *lines, held = held.split(b"\n")
            for line in lines:
                if len(line) > most:
                    raise Wrong("a line longer than %d bytes" % most)
                yield byte, line
                byte += len(line) + 1
            if len(held) > most:
                raise Wrong("a line longer than %d bytes" % most)
        if held:
            raise Wrong("the last line is not ended")


def is_streamed(name):
    return name.endswith("/leaves.jsonl") or name.endswith("/payloads.jsonl")


# ---------------------------------------------------------------------------------------------------------------------
# 4. The tree

def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


class Tree:
    """The right edge of a tree: one hash for each bit of its size, the largest subtree first."""

    def __init__(self, size, edge):
        self.size, self.edge = size, list(edge)

    def push(self, level, digest):
        count = self.size >> level
        while count & 1:
            digest, count = hashlib.sha256(b"\1" + self.edge.pop() + digest).digest(), count >> 1
        self.edge.append(digest)
        self.size += 1 << level

    def root(self):
        if not self.edge:
            return hashlib.sha256().digest()
        digest = self.edge[-1]
        for left in self.edge[-2::-1]:
            digest = hashlib.sha256(b"\1" + left + digest).digest()
        return digest


def subtrees(start, end):
    """Levels of the fewest complete subtrees over these positions, from the left."""
    levels = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        levels.append(level)
        start += 1 << level
    return levels


class Range:
    """`range.json`."""

    def __init__(self, data):
        if data[-1:] != b"\n":
            raise Wrong("not ended")
        fields = members(data[:-1])
        if list(fields) != [b"end", b"first", b"left", b"right", b"size"]:
            raise Wrong("other fields")
        self.end, self.first, self.size = (count(fields[k]) for k in (b"end", b"first", b"size"))
        self.left, self.right = self.hashes(fields[b"left"]), self.hashes(fields[b"right"])
        if not self.first < self.end <= self.size:
            raise Wrong("no range")
        if len(self.left) != len(subtrees(0, self.first)) or len(self.right) != len(subtrees(self.end, self.size)):
            raise Wrong("not as many hashes as the positions need")

    @staticmethod
    def hashes(data):
        found = [unhash(text(value)) for value in listed(data)]
        if None in found:
            raise Wrong("no hash")
        return found


def listed(data):
    found = elements(data)
    if not found and data != b"[]":
        raise Wrong("no list")
    return found


def count(data):
    found = None if data[:1] == b'"' else number(data)
    if found is None:
        raise Wrong("no number")
    return found


def string(data):
    if data[:1] != b'"':
        raise Wrong("no text")
    return text(data)


def strings(data, most):
    found = [string(value) for value in listed(data)]
    if len(found) > most:
        raise Wrong("too many")
    return found


def at_time(data):
    found = moment(string(data))
    if found is None:
        raise Wrong("no time")
    return found


def perhaps(data, read):
    return None if data == b"null" else read(data)


class Manifest:
    """`manifest.json`: what was asked for, and counts."""

    PART = ("disclosed", "end", "epoch", "erased", "first", "scoped", "size", "withheld")

    def __init__(self, data):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong("no UTF-8") from None
        if data[-1:] != b"\n":
            raise Wrong("not ended")
        fields = members(data[:-1])
        names = b"by epochs made missing origin policies scope unsigned v".split()
        if list(fields) != names or fields[b"v"] != b"1":
            raise Wrong("other fields")
        self.by, self.made, self.origin = string(fields[b"by"]), at_time(fields[b"made"]), string(fields[b"origin"])
        self.missing, self.policies = strings(fields[b"missing"], POLICIES_MAX), strings(fields[b"policies"], POLICIES_MAX)
        self.unsigned = count(fields[b"unsigned"])
        self.epochs = [self.part(value) for value in listed(fields[b"epochs"])]
        if not 1 <= len(self.epochs) <= EPOCHS_MAX:
            raise Wrong("no epochs, or too many")
        scope = members(fields[b"scope"])
        if list(scope) != b"from identity name target to".split():
            raise Wrong("other fields")
        self.start, self.end = perhaps(scope[b"from"], at_time), perhaps(scope[b"to"], at_time)
        self.identity = perhaps(scope[b"identity"], lambda ids: set(strings(ids, IDS_MAX)))
        self.name, self.target = perhaps(scope[b"name"], string), perhaps(scope[b"target"], string)

    def part(self, data):
        fields = members(data)
        if list(fields) != [name.encode() for name in self.PART]:
            raise Wrong("other fields")
        return {name: count(value) for name, value in zip(self.PART, fields.values())}


# ---------------------------------------------------------------------------------------------------------------------
# The report

class Report:
    def __init__(self):
        self.findings, self.counts = [], {}
        self.entries, self.epochs, self.newest = 0, [], None
        self.opened = self.withheld = self.erased = self.wrong = 0

    def add(self, failed, aspect, code, spot, what):
        key = (aspect, failed)
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.counts[key] <= FINDINGS_KEPT:
            self.findings.append((aspect, failed, code, spot, what))

    def fail(self, aspect, code, spot, what):
        self.add(True, aspect, code, spot, what)

    def note(self, aspect, code, spot, what):
        self.add(False, aspect, code, spot, what)

    def verdict(self, aspect):
        if self.counts.get((aspect, True)):
            return "failed"
        return "findings" if self.counts.get((aspect, False)) else "ok"

    def failed(self):
        return any(self.verdict(aspect) == "failed" for aspect in ASPECTS)


class Spot:
    """Where something was found."""

    def __init__(self, epoch=None, position=None, file=None, byte=None):
        self.epoch, self.position, self.file, self.byte = epoch, position, file, byte

    def __str__(self):
        entry = "" if self.epoch is None else "entry %d/%d" % (self.epoch, self.position)
        file = "" if self.file is None else self.file + ("" if self.byte is None else " byte %d" % self.byte)
        return ", ".join(part for part in (entry, file) if part)


# ---------------------------------------------------------------------------------------------------------------------
# 5. The story

class Clocks:
    def __init__(self):
        self.before, self.steps, self.newest = None, [], None

    def restart(self, out):
        self.untold(out)
        self.before = None

    def untold(self, out):
        for spot in self.steps:
            out.note("semantics", "clock-untold", spot, "the wall clock jumps here, and no log.clock says so")
        self.steps = []

    def entry(self, leaf, spot, out):
        wall, mono = moment(leaf.text(b"t")), leaf.number(b"mono")
        if wall is None or mono is None:
            return out.fail("semantics", "time", spot, "the entry has no time that can be read")
        if self.before:
            if mono < self.before[1]:
                out.fail("semantics", "clock-back", spot, "the monotonic clock goes back within one run")
            elif mono - self.before[1] > SILENCE_US:
                out.note("completeness", "silence", spot, "a living gateway says something every minute, and here it did not")
            step = wall - self.before[0] - (mono - self.before[1])
            if abs(step) > STEP_US and len(self.steps) < STEPS_KEPT:
                self.steps.append(spot)
        elif self.newest is not None and wall + STEP_US < self.newest:
            out.note("semantics", "clock-untold", spot, "a writer's run begins before the one before it had ended")
        self.before, self.newest = (wall, mono), wall
        return None


class Leaf:
    """The fields of a leaf, as they stand."""

    def __init__(self, data):
        self.fields = leaf_fields(data)

    def raw(self, key):
        return self.fields.get(key, b"")

    def text(self, key):
        return text(self.raw(key))

    def number(self, key):
        return number(self.raw(key))


def session_id(data):
    """The 32 digits of a session's id as a number, or None."""
    digits = data.replace(b"-", b"")
    return int(digits, 16) if re.fullmatch(rb"[0-9A-Fa-f]{32}", digits) else None


def link_id(link):
    return text(parts(link).get(b"id", b""))


class Actor:
    """Who asks or spends, as far as ids tell."""

    def __init__(self, who):
        fields = parts(who)
        self.agent, self.humans = text(fields.get(b"agent", b"")), []
        for link in elements(fields.get(b"chain", b"")):
            if text(parts(link).get(b"kind", b"")) == b"human":
                self.humans.append(link_id(link))

    def same(self, other):
        return (self.agent, self.humans) == (other.agent, other.humans)

    def has(self, who):
        return bool(who) and (self.agent == who or who in self.humans)


class Approval:
    def __init__(self, leaf):
        self.stage, self.actor, self.rule = "open", Actor(leaf.raw(b"who")), leaf.text(b"rule")
        quorum = leaf.number(b"quorum")
        self.quorum = max(1 if quorum is None else quorum, 1)
        self.givers, self.glass, self.spender = [], False, None


class Approvals:
    def __init__(self):
        self.known, self.full = {}, False

    def entry(self, leaf, spot, partial, out):
        kind, name = leaf.text(b"k"), leaf.text(b"approval")
        if kind == b"approval.asked":
            return self.asked(leaf, name, spot, out)
        if kind in (b"approval.given", b"approval.glass_broken"):
            return self.given(leaf, name, spot, partial, out, kind == b"approval.glass_broken")
        if kind in (b"approval.refused", b"approval.expired", b"approval.withdrawn"):
            approval = self.find(name, spot, partial, out)
            if approval and approval.stage == "open":
                approval.stage = "over"
            elif approval:
                out.fail("semantics", "approval-order", spot, "an approval ends after it was spent or over")
        elif kind == b"approval.spent":
            self.spent(leaf, name, spot, partial, out)
        return None

    def find(self, name, spot, partial, out):
        approval = self.known.get(name)
        if approval is None and not partial and not self.full:
            out.fail("semantics", "approval-unknown", spot, "an approval that was never asked for")
        return approval

    def asked(self, leaf, name, spot, out):
        if len(self.known) >= APPROVALS_MAX:
            if not self.full:
                out.note("semantics", "approvals-many", spot, "more approvals than are remembered")
            self.full = True
            return
        if name in self.known:
            out.fail("semantics", "approval-twice", spot, "an approval is asked for again")
        self.known[name] = Approval(leaf)

    def given(self, leaf, name, spot, partial, out, glass):
        approval = self.find(name, spot, partial, out)
        if approval is None:
            return
        if approval.stage != "open":
            out.fail("semantics", "approval-order", spot, "an approval is given after it was spent or over")
        who = link_id(leaf.raw(b"by"))
        if glass:
            approval.glass = True
            out.note("semantics", "glass-broken", spot, "glass was broken: one person alone released it")
            return
        if approval.actor.has(who):
            out.fail("semantics", "approval-own", spot, "an approval is given by who asks for it")
        if who in approval.givers:
            out.fail("semantics", "approval-twice", spot, "an approval is given twice by the same person")
        else:
            approval.givers.append(who)
        said = leaf.number(b"given")
        if said is not None and said != len(approval.givers):
            out.fail("semantics", "approval-count", spot, "another number of approvers is here than the entry says")

    def spent(self, leaf, name, spot, partial, out):
        approval = self.find(name, spot, partial, out)
        if approval is None:
            return
        if approval.stage != "open":
            out.fail("semantics", "approval-spent", spot, "an approval is spent after it was spent or over")
        if not approval.glass and len(approval.givers) < approval.quorum and not partial:
            out.fail("semantics", "approval-quorum", spot, "an approval is spent with too few approvers")
        if not Actor(leaf.raw(b"who")).same(approval.actor):
            out.fail("semantics", "approval-other", spot, "an approval is spent by another identity than asked")
        if leaf.text(b"rule") != approval.rule:
            out.fail("semantics", "approval-other", spot, "an approval is spent under another rule than asked")
        cmd = leaf.number(b"cmd")
        approval.stage, approval.spender = "spent", (leaf.text(b"sid"), 0 if cmd is None else cmd)

    def used(self, leaf, spot, partial, out):
        approval = self.find(leaf.text(b"approval"), spot, partial, out)
        if approval is None:
            return
        if approval.stage == "spent" and approval.spender == (leaf.text(b"sid"), leaf.number(b"cmd")):
            approval.stage, approval.givers, approval.actor = "used", [], Actor(b"")
        elif not partial:
            out.fail("semantics", "approval-unspent", spot, "the command names an approval that was not spent on it just before")


class Story:
    """What the leaves say, held against each other."""

    def __init__(self):
        self.sessions, self.commands, self.numbers = {}, {}, {}
        self.approvals, self.clocks, self.run = Approvals(), Clocks(), "none"
        self.partial, self.unknown = False, []

    def entry(self, leaf, spot, out):
        """Reads one leaf. Gives the facts of a gap that it declares."""
        kind = leaf.text(b"k")
        if leaf.number(b"v") != 1:
            out.note("semantics", "version", spot, "an entry of another version")
        self.begin(kind, spot, out)
        self.clocks.entry(leaf, spot, out)
        if kind == b"command.decided":
            self.decided(leaf, spot, out)
        elif kind in (b"command.completed", b"command.abandoned"):
            self.ended(leaf, spot, out)
        elif kind in (b"command.rows", b"command.changed", b"stream"):
            self.piece(leaf, spot, out)
        elif kind == b"session.opened":
            self.opened(leaf, spot, out)
        elif kind == b"session.closed":
            self.closed(leaf, spot, out)
        elif kind == b"session.noted":
            self.session(leaf, spot, out)
        elif kind == b"log.oversize":
            out.note("semantics", "oversize", spot, "an entry stood here that was too large to be recorded")
        elif kind.startswith(b"approval."):
            self.approvals.entry(leaf, spot, self.partial, out)
        elif kind.startswith(b"log."):
            return self.of_log(kind, leaf, spot, out)
        self.known(kind, spot, out)
        return None

    def known(self, kind, spot, out):
        known = kind.decode("utf-8") in KINDS or kind in self.unknown
        if not known and len(self.unknown) < 20:
            self.unknown.append(kind)
            out.note("semantics", "kind-unknown", spot, "a kind that is not known here")

    def begin(self, kind, spot, out):
        found = kind in (b"log.gap", b"log.recovered")
        begins = (found or kind == b"log.started") and self.run != "opening"
        if begins:
            self.clocks.restart(out)
        clean = self.run in ("stopped", "none")
        if found:
            self.run = "opening"
        elif kind == b"log.started":
            if begins and not clean and not self.partial:
                out.note("completeness", "unrecovered", spot, "the writer before had stopped without a word")
            if (self.sessions or self.commands) and not self.partial:
                out.fail("semantics", "left-open", spot, "a writer begins with things open that it has not ended")
            self.run = "running"
        elif self.run == "none" and not self.partial:
            out.fail("completeness", "beginning", spot, "the log does not begin with a writer's start")
            self.run = "running"

    def grown(self, spot, out):
        if len(self.sessions) + sum(len(all_) for all_ in self.commands.values()) > OPEN_MAX:
            out.fail("semantics", "open-many", spot, "more is open than a gateway can have")
            self.sessions, self.commands, self.numbers, self.partial = {}, {}, {}, True

    def opened(self, leaf, spot, out):
        session = session_id(leaf.text(b"sid"))
        if session is None:
            out.fail("semantics", "session", spot, "a session without an id")
            return
        if session in self.sessions:
            out.fail("semantics", "session-twice", spot, "a session begins again")
        self.numbers[session], self.sessions[session] = 0, True
        self.grown(spot, out)

    def session(self, leaf, spot, out):
        session = session_id(leaf.text(b"sid"))
        if session not in self.sessions and not self.partial:
            out.fail("semantics", "session-unknown", spot, "a session that is not open here")
        return session

    def closed(self, leaf, spot, out):
        session = self.session(leaf, spot, out)
        if session is None:
            return
        if self.commands.get(session):
            out.fail("semantics", "outcome-missing", spot, "a session ends, and a command of it has no outcome")
        said, last = leaf.number(b"commands"), self.numbers.pop(session, None)
        if said is not None and last is not None and said != last and not self.partial:
            out.fail("completeness", "commands", spot, "the session ends with another number of commands than are here")
        self.sessions.pop(session, None)
        self.commands.pop(session, None)

    def decided(self, leaf, spot, out):
        session, cmd = self.session(leaf, spot, out), leaf.number(b"cmd")
        if session is None or cmd is None:
            return
        last = self.numbers.get(session, 0)
        if cmd <= last and not self.partial:
            out.fail("semantics", "command-order", spot, "commands of a session are not in order")
        self.numbers[session] = max(cmd, last)
        approval, verdict = leaf.text(b"approval"), leaf.text(b"verdict")
        if approval:
            self.approvals.used(leaf, spot, self.partial, out)
        held = verdict == b"hold" and (approval or leaf.text(b"step") == b"prepare")
        leave = verdict == b"allow" or leaf.text(b"mode") == b"observe" or held
        if leave and leaf.raw(b"refused") != b"true":
            self.commands.setdefault(session, []).append((cmd, (spot.epoch, spot.position)))
            self.grown(spot, out)

    def command(self, session, cmd):
        return next((place for number_, place in self.commands.get(session, ()) if number_ == cmd), None)

    def ended(self, leaf, spot, out):
        session, cmd = session_id(leaf.text(b"sid")), leaf.number(b"cmd")
        if session is None or cmd is None:
            out.fail("semantics", "outcome", spot, "an outcome that names no command")
            return
        place = self.command(session, cmd)
        if place is None:
            if not self.partial:
                out.fail("semantics", "outcome-alone", spot, "an outcome of what was not permitted or has ended")
            return
        if leaf.number(b"intent") != place[1]:
            out.fail("semantics", "outcome-intent", spot, "the outcome names another intent")
        self.commands[session].remove((cmd, place))
        if not self.commands[session]:
            del self.commands[session]

    def piece(self, leaf, spot, out):
        session, cmd = session_id(leaf.text(b"sid")), leaf.number(b"cmd")
        if session is None or cmd is None:
            out.fail("semantics", "piece", spot, "a piece of a result that names no command")
        elif self.command(session, cmd) is None and not self.partial:
            out.fail("semantics", "piece", spot, "a piece of a command that does not run here")

    def of_log(self, kind, leaf, spot, out):
        facts = parts(leaf.raw(b"facts"))
        value = lambda key: number(facts.get(key, b""))
        if kind == b"log.recovered":
            out.note("completeness", "recovered", spot, "what the writer before had left was found")
            found = (value(b"orphans") or 0, value(b"sessions") or 0)
            here = (sum(len(all_) for all_ in self.commands.values()), len(self.sessions))
            if found != here and not self.partial:
                out.fail("semantics", "recovered-count", spot, "not as much is open here as it says")
            size, before = value(b"size"), spot.position - 1 if spot.position else None
            if size != spot.position and size != before:
                out.fail("semantics", "recovered-size", spot, "the entries that it found are not those before it")
        elif kind == b"log.clock":
            self.clocks.steps = []
            out.note("semantics", "clock", spot, "the wall clock was stepped")
        elif kind == b"log.stopped":
            self.run = "stopped"
        elif kind == b"log.gap":
            return value(b"position") or 0
        elif kind == b"log.sealed":
            root = text(facts.get(b"root", b""))
            digits = re.fullmatch(rb"(?:[0-9a-fA-F]{2}|\+[0-9a-fA-F]){32}", root)
            if value(b"first") is None or value(b"size") is None or not digits:
                out.fail("semantics", "sealed", spot, "what it says of a segment cannot be read")
        else:
            self.known(kind, spot, out)
        return None

    def end(self, spot, out):
        self.clocks.untold(out)
        if self.commands:
            out.note("completeness", "open-commands", spot, "%d commands have no outcome yet" % sum(map(len, self.commands.values())))
        if self.sessions:
            out.note("completeness", "open-sessions", spot, "%d sessions have no end yet" % len(self.sessions))
        waiting = sum(approval.stage == "open" for approval in self.approvals.known.values())
        if waiting:
            out.note("completeness", "open-approvals", spot, "%d approvals are neither spent nor over" % waiting)


# ---------------------------------------------------------------------------------------------------------------------
# 6. The bundle

class Options:
    def __init__(self, keys=(), policy=None, since=None, now=None, max_age=None):
        self.keys, self.policy, self.since, self.max_age = list(keys), policy, since, max_age
        self.now = int(time.time() * 1_000_000) if now is None else now


class Payloads:
    """The payloads of an epoch, by ascending position."""

    def __init__(self, bundle, name, out):
        self.lines, self.name, self.out = bundle.lines(name, PAYLOAD_LINE_MAX), name, out
        self.next, self.last, self.over = None, None, False

    def peek(self):
        if self.next is None and not self.over:
            byte = None
            try:
                byte, line = next(self.lines, (None, None))
                self.next = None if line is None else self.read(byte, line)
                self.over = line is None
            except Wrong as why:
                self.over = True
                self.out.fail("integrity", "payload-line", Spot(file=self.name, byte=byte), str(why))
        return self.next

    def read(self, byte, line):
        fields = members(line)
        if list(fields) != [b"n", b"payload", b"salt"]:
            raise Wrong("other fields")
        position, payload, salt = count(fields[b"n"]), unbase64(text(fields[b"payload"])), unhash(text(fields[b"salt"]))
        if payload is None or salt is None or (self.last is not None and self.last >= position):
            raise Wrong("no base64, or positions that do not ascend")
        self.last = position
        return position, payload, salt, byte

    def take(self):
        taken, self.next = self.next, None
        return taken


def base(name):
    head, slash, epoch = name.rpartition("/e")
    return head if slash and epoch.isascii() and epoch.isdigit() else name


def u64(digits):
    found = int(digits) if re.fullmatch(r"\+?[0-9]+", digits, re.ASCII) and len(digits) < 40 else U64_MAX + 1
    return found if found <= U64_MAX else None


def signed(data, file, epoch, keys, policy, out):
    """Epoch, size and root of a note that a key of the log has signed under the name of its tree."""
    spot = Spot(file=file)
    try:
        note = Note(data)
    except Wrong as why:
        return out.fail("integrity", "checkpoint-note", spot, "it is no signed note: %s" % why)
    try:
        said = Checkpoint(note.text).origin
    except Wrong:
        said = ""
    own = u64(said.rpartition("/e")[2]) if "/e" in said else None
    if own is None or epoch not in (None, own):
        return out.fail("integrity", "checkpoint-origin", spot, "its origin is another tree's")
    named = {}
    for key in keys:
        if base(key.name) == base(said) and key.kind == 1:
            try:
                named[key.public] = Key(said, 1, key.public)
            except Wrong:
                pass
    try:
        note.verify(list(named.values()))
        checkpoint = Checkpoint(note.text)
    except Wrong as why:
        return out.fail("integrity", "checkpoint-signature", spot, "no key of the log has signed it: %s" % why)
    if policy:
        try:
            policy.accept(note)
        except Wrong as why:
            out.fail("integrity", "quorum", spot, "the policy does not accept it: %s" % why)
    return own, checkpoint.size, checkpoint.root


class Judge:
    def __init__(self, bundle, options):
        self.bundle, self.options, self.out = bundle, options, Report()
        self.story, self.approvals, self.policies = Story(), set(), set()
        self.first_time = self.last_time = None
        self.leaves_seen = 0

    def run(self):
        self.sums()
        try:
            self.manifest = Manifest(self.bundle.read("manifest.json"))
        except Wrong:
            what = "it is not written as manifests are, so nothing can be held against it"
            self.out.fail("integrity", "manifest", Spot(file="manifest.json"), what)
            return self.out
        self.trust()
        self.check_parts()
        epochs = self.manifest.epochs
        self.story.partial = not (epochs[0]["epoch"] == 1 and epochs[0]["first"] == 0)
        before = None
        for part in epochs:
            self.epoch(part, before)
            before = part
        self.story.end(Spot(epochs[-1]["epoch"], epochs[-1]["end"]), self.out)
        self.borders()
        self.versions()
        self.out.newest = self.story.clocks.newest
        self.disclosure()
        self.freshness()
        return self.out

    def sums(self):
        lines = []
        for name in sorted(self.bundle.all):
            if name != "SHA256SUMS":
                digest = hashlib.sha256()
                for piece in self.bundle.pieces(name):
                    digest.update(piece)
                lines.append("%s  %s\n" % (digest.hexdigest(), name))
        given = self.bundle.read("SHA256SUMS", WHOLE_MAX)
        if given != "".join(lines).encode():
            said = set(given.decode("utf-8", "replace").splitlines(True))
            other = ", ".join([line[66:-1] for line in lines if line not in said][:5])
            self.out.fail("integrity", "sums", Spot(file="SHA256SUMS"), "members are not as they were written: " + other)

    def trust(self):
        self.keys, self.since = list(self.options.keys), []
        if not self.keys:
            for name in sorted(self.bundle.all):
                if name == "keys" or name.endswith("/vkey"):
                    try:
                        self.keys += parse_keys(self.bundle.read(name).decode("utf-8"))
                    except (Wrong, UnicodeDecodeError):
                        pass
            what = "checkpoints are signed by a key that came in this bundle: whoever made all of it is not found; give --key"
            self.out.note("integrity", "key-beside", Spot(), what)
        if self.options.since:
            file, data = self.options.since
            anchor = signed(data, file, None, self.keys, None, self.out)
            if anchor:
                self.since.append(anchor)
                parts_ = [p for p in self.manifest.epochs if p["epoch"] == anchor[0]][:1]
                if not any(p["first"] <= anchor[1] <= p["end"] or p["size"] == anchor[1] for p in parts_):
                    self.out.note("integrity", "since-outside", Spot(file=file), "the checkpoint of earlier lies outside of the entries here")

    def check_parts(self):
        epochs, out = self.manifest.epochs, self.out
        for a, b in zip(epochs, epochs[1:]):
            spot = Spot(b["epoch"], b["first"], "manifest.json")
            if a["epoch"] + 1 != b["epoch"]:
                out.fail("completeness", "epoch-missing", spot, "epochs do not follow each other")
            if b["first"] != 0:
                out.fail("completeness", "range-epoch", spot, "entries are left out between two epochs")
        for epoch in sorted({part["epoch"] for part in epochs}):
            for file in OF_EPOCH:
                name = "e%d/%s" % (epoch, file)
                if name not in self.bundle.all:
                    out.fail("completeness", "member-missing", Spot(file=name), "the manifest lists its epoch, and this is not here")
        known = {part["epoch"] for part in epochs}
        for name in sorted(self.bundle.all):
            epoch = epoch_of(name.split("/")[0]) if "/" in name else None
            if epoch is not None and epoch not in known:
                out.fail("completeness", "member-strange", Spot(file=name), "the manifest does not list its epoch")
        if self.manifest.unsigned:
            what = "%d entries of the range are not here, because no checkpoint covers them" % self.manifest.unsigned
            out.note("completeness", "unsigned-tail", Spot(file="manifest.json"), what)

    def epoch(self, part, before):
        folder = "e%d" % part["epoch"]
        if folder + "/leaves.jsonl" not in self.bundle.all:
            self.story.partial = True
            return
        anchor = self.checkpoint(part, folder)
        try:
            range_ = Range(self.bundle.read(folder + "/range.json"))
            size = anchor[1] if anchor else part["size"]
            if (range_.first, range_.end, range_.size) != (part["first"], part["end"], part["size"]) or part["size"] != size:
                raise Wrong("another range")
        except Wrong as why:
            self.out.fail("integrity", "range", Spot(file=folder + "/range.json"), str(why))
            range_ = None
        tree = Tree(range_.first, range_.left) if range_ else None
        payloads = Payloads(self.bundle, folder + "/payloads.jsonl", self.out)
        whole = self.leaves(part, before, tree, payloads)
        self.strays(part, payloads, U64_MAX)
        spot = Spot(part["epoch"], part["first"], folder + "/leaves.jsonl")
        if not whole or tree is None:
            self.out.fail("integrity", "root", spot, "the root cannot be worked out from what is here")
            return
        for level, digest in zip(subtrees(range_.end, range_.size), range_.right):
            tree.push(level, digest)
        root = tree.root()
        self.out.epochs.append((part["epoch"], part["size"], root.hex()))
        if anchor and anchor[2] != root:
            self.out.fail("integrity", "root", spot, "the leaves do not lead to the root that was signed: one is altered, missing, added or moved")
        self.held_since(part, part["size"], root)

    def checkpoint(self, part, folder):
        name = folder + "/checkpoint"
        data = self.bundle.read(name)
        anchor = signed(data, name, part["epoch"], self.keys, self.options.policy, self.out)
        if anchor:
            wanted = self.manifest.origin.decode("utf-8") + "/e%d" % part["epoch"]
            if Checkpoint(Note(data).text).origin != wanted:
                self.out.fail("integrity", "origin", Spot(file=name), "it is not of the log that the manifest says")
        return anchor

    def held_since(self, part, size, root):
        for anchor in [a for a in self.since if a[:2] == (part["epoch"], size) and a[2] != root]:
            self.since.remove(anchor)
            self.out.fail("integrity", "checkpoint", Spot(part["epoch"], size, self.options.since[0]), "the log is not the one of earlier")

    def leaves(self, part, before, tree, payloads):
        name, position = "e%d/leaves.jsonl" % part["epoch"], part["first"]
        counts = {"scoped": 0, "shown": 0, "absent": 0}
        if tree:
            self.held_since(part, position, tree.root())
        whole, byte = True, 0
        try:
            for byte, line in self.bundle.lines(name, LEAF_MAX):
                if position >= part["end"]:
                    whole = False
                    break
                if tree:
                    tree.push(0, leaf_hash(line))
                self.leaf(part, before, position, line, Spot(part["epoch"], position, name, byte), payloads, counts)
                position += 1
                if tree and any(anchor[1] == position for anchor in self.since):
                    self.held_since(part, position, tree.root())
            whole = whole and position == part["end"]
        except Wrong as why:
            self.out.fail("integrity", "leaves", Spot(part["epoch"], position, name), str(why))
            whole = False
        if not whole:
            self.out.fail("completeness", "leaves-count", Spot(part["epoch"], position, name), "there are not the leaves that the manifest says")
        self.out.withheld += part["withheld"]
        self.out.erased += part["erased"]
        said = (part["scoped"], part["disclosed"], part["withheld"] + part["erased"])
        if (counts["scoped"], counts["shown"], counts["absent"]) != said:
            spot = Spot(part["epoch"], part["first"], "manifest.json")
            what = "%d entries are in scope, %d payloads shown and %d not" % tuple(counts.values())
            self.out.fail("completeness", "manifest-count", spot, "%s; the manifest says %d, %d and %d" % ((what,) + said))
        return whole

    def leaf(self, part, before, position, line, spot, payloads, counts):
        self.out.entries += 1
        self.leaves_seen += 1
        try:
            leaf = Leaf(line)
        except Wrong as why:
            self.out.fail("semantics", "leaf", spot, "the leaf is not as leaves are written: %s" % why)
            self.story.partial, self.last_time = True, None
            return
        self.last_time = moment(leaf.text(b"t"))
        if self.leaves_seen == 1:
            self.first_time = self.last_time
        if leaf.number(b"n") != position:
            self.out.fail("integrity", "leaf-position", spot, "the leaf says another position")
        gap = self.story.entry(leaf, spot, self.out)
        self.gap(part, position, before, gap, spot)
        if leaf.text(b"policy") and len(self.policies) < POLICIES_MAX:
            self.policies.add(leaf.text(b"policy"))
        scoped = self.in_scope(leaf)
        counts["scoped"] += scoped
        self.strays(part, payloads, position)
        sealed, shown = scoped and bool(leaf.raw(b"pay")), payloads.peek()
        if not shown or shown[0] != position:
            counts["absent"] += sealed
        elif not sealed:
            self.stray(part, payloads.take())
        else:
            counts["shown"] += 1
            self.payload(leaf, payloads.take(), spot)

    def gap(self, part, position, before, gap, spot):
        fresh = position == 0 and part["epoch"] > 1
        if gap is not None and fresh:
            if before is None or before["end"] != gap:
                self.story.partial = True
            if before and before["end"] not in (before["size"], gap):
                self.out.fail("completeness", "range-epoch", spot, "entries are left out before this epoch that the gap does not give up")
            self.out.note("completeness", "gap", spot, "an operator gave up what stood from position %d of the epoch before on" % gap)
        elif gap is not None:
            self.out.fail("semantics", "gap", spot, "a gap is declared in the middle of an epoch")
        elif fresh:
            self.out.fail("completeness", "gap-undeclared", spot, "a new epoch begins, and its first entry declares no gap")

    def in_scope(self, leaf):
        scope, approval = self.manifest, leaf.text(b"approval")
        at = moment(leaf.text(b"t"))
        if at is None or (scope.start is not None and at < scope.start) or (scope.end is not None and at >= scope.end):
            return False
        if self.direct(leaf):
            if approval and len(self.approvals) < APPROVALS_MAX:
                self.approvals.add(approval)
            return True
        return bool(approval) and approval in self.approvals

    def direct(self, leaf):
        who, scope = parts(leaf.raw(b"who")), self.manifest
        if scope.target is not None and text(who.get(b"target", b"")) != scope.target:
            return False
        if scope.identity is None:
            return True
        links = [leaf.raw(b"by")] + elements(who.get(b"chain", b"")) + elements(leaf.raw(b"chain"))
        return any(link_id(link) in scope.identity for link in links)

    def strays(self, part, payloads, before):
        while payloads.peek() and payloads.next[0] < before:
            self.stray(part, payloads.take())

    def stray(self, part, shown):
        spot = Spot(part["epoch"], shown[0], "e%d/payloads.jsonl" % part["epoch"], shown[3])
        self.out.fail("integrity", "payload-stray", spot, "a payload that belongs to no entry of the scope")

    def payload(self, leaf, shown, spot):
        _, payload, salt, _ = shown
        pay = parts(leaf.raw(b"pay"))
        digest = base64.b64encode(hashlib.sha256(PAYLOAD_TAG + salt + payload).digest())
        if number(pay.get(b"len", b"")) == len(payload) and digest == text(pay.get(b"h", b"")):
            self.out.opened += 1
        else:
            self.out.wrong += 1
            self.out.fail("integrity", "payload", spot, "the payload is not what the leaf commits to")

    def borders(self):
        scope, first, last = self.manifest, self.manifest.epochs[0], self.manifest.epochs[-1]
        if not (first["epoch"] == 1 and first["first"] == 0):
            if scope.start is None or self.first_time is None or self.first_time >= scope.start:
                spot = Spot(first["epoch"], first["first"], "manifest.json")
                self.out.fail("completeness", "range-start", spot, "entries may be left out before the first one here")
        if last["end"] != last["size"]:
            if scope.end is None or self.last_time is None or self.last_time < scope.end:
                spot = Spot(last["epoch"], last["end"], "manifest.json")
                self.out.fail("completeness", "range-end", spot, "entries may be left out behind the last one here")

    def versions(self):
        spot, scope = Spot(file="manifest.json"), self.manifest
        here = {name[9:].encode() for name in self.bundle.all if name.startswith("policies/")}
        if here != set(scope.policies):
            self.out.fail("completeness", "policy-files", spot, "the rules here are not those that the manifest lists")
        if self.policies - set(scope.policies) - set(scope.missing):
            self.out.fail("completeness", "policy-versions", spot, "versions of rules decided that the manifest does not list")
        if scope.missing:
            self.out.note("completeness", "policy-missing", spot, "the rules of %d versions that were in force are not here" % len(scope.missing))

    def disclosure(self):
        out = self.out
        if out.withheld:
            out.note("disclosure", "withheld", Spot(), "%d payloads are withheld" % out.withheld)
        if out.erased:
            out.note("disclosure", "erased", Spot(), "%d payloads cannot be opened any more: their keys are gone" % out.erased)

    def freshness(self):
        out, now = self.out, self.options.now
        if out.newest is None:
            out.fail("freshness", "empty", Spot(), "there is no entry whose age could be told")
            return
        if out.newest > now + AHEAD_US:
            out.note("freshness", "ahead", Spot(), "the newest entry is ahead of the clock")
        if self.options.max_age is not None and max(0, now - out.newest) > self.options.max_age:
            out.fail("freshness", "stale", Spot(), "the newest entry is older than allowed")


def judge(open_bundle, options):
    """The report on a bundle. `open_bundle` gives its members, and raises Wrong where it is none."""
    try:
        bundle = open_bundle()
    except Wrong as why:
        report = Report()
        report.fail("integrity", "bundle", Spot(), "this is no bundle: %s" % why)
        return report
    return Judge(bundle, options).run()


def judge_bytes(data, options):
    """The report on a tar that is in memory: for tests that judge many."""
    return judge(lambda: Members.of_bytes(data), options)


# ---------------------------------------------------------------------------------------------------------------------

def as_json(report):
    found = [
        {"aspect": aspect, "failed": failed, "code": code, "epoch": spot.epoch, "position": spot.position,
         "file": spot.file, "byte": spot.byte, "what": what}
        for aspect, failed, code, spot, what in report.findings
    ]
    return {
        "verdicts": {aspect: report.verdict(aspect) for aspect in ASPECTS},
        "findings": found,
        "entries": report.entries,
        "epochs": [{"epoch": epoch, "size": size, "root": root} for epoch, size, root in report.epochs],
        "disclosure": {"opened": report.opened, "withheld": report.withheld, "erased": report.erased, "wrong": report.wrong},
    }


def show(report):
    for aspect in ASPECTS:
        print("%-13s %s" % (aspect, report.verdict(aspect)))
        for about, failed, code, spot, what in report.findings:
            if about == aspect:
                at = " at %s" % spot if str(spot) else ""
                print(ascii_line("  %s %s%s: %s" % ("!" if failed else "-", code, at, what)))
    print("\n%d entries; %d payloads opened, %d withheld, %d erased" % (report.entries, report.opened, report.withheld, report.erased))
    for epoch, size, root in report.epochs:
        print("epoch %d: %d entries, root %s" % (epoch, size, root))


def ascii_line(line):
    """Nothing of a bundle moves a terminal's cursor."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in line)


def arguments():
    parser = argparse.ArgumentParser(description="Judges a bundle of evidence that Firsthand exported.")
    parser.add_argument("bundle", help="the tar, or the folder that it was unpacked into")
    parser.add_argument("--key", metavar="FILE", help="public keys of the log, one a line, got by another way than the bundle")
    parser.add_argument("--policy", metavar="FILE", help="which witnesses must have cosigned: a C2SP tlog-policy")
    parser.add_argument("--since", metavar="FILE", help="a checkpoint of earlier")
    parser.add_argument("--now", metavar="TIME", help="take this for the time: 2026-11-23T18:00:00Z")
    parser.add_argument("--max-age", metavar="DURATION", help="fail when the newest entry is older: 90s, 5m, 24h")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    return parser.parse_args()


def options_of(args):
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    options = Options()
    if args.key:
        options.keys = parse_keys(read(args.key).decode("utf-8"))
        if not options.keys:
            raise Wrong("%s holds no key" % args.key)
    if args.policy:
        options.policy = Policy(read(args.policy))
    if args.since:
        options.since = (args.since, read(args.since))
    if args.now:
        at = datetime.datetime.fromisoformat(args.now.replace("Z", "+00:00"))
        at = at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
        options.now = int(at.timestamp()) * 1_000_000
    if args.max_age:
        match = re.fullmatch("([0-9]+)(s|m|h|d)", args.max_age)
        if not match:
            raise Wrong("--max-age is like 90s, 5m or 24h")
        options.max_age = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] * 1_000_000
    return options


def main():
    args = arguments()
    try:
        options = options_of(args)
    except (Wrong, OSError, ValueError) as why:
        print("verify.py: %s" % why, file=sys.stderr)
        return 2
    try:
        report = judge(lambda: Members.open(args.bundle), options)
    except OSError as why:
        print("verify.py: %s" % why, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(as_json(report)))
    else:
        show(report)
    return 3 if report.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
