"""Runs the verifier that evidence bundles carry over many bundles, in one process.

    bundle_judge.py VERIFY_PY vectors                the test vectors of RFC 8032
    bundle_judge.py VERIFY_PY judge KEYS NOW_US      bundles from stdin, each after its length (4 bytes, big-endian);
                                                     for each a line of JSON: the verdicts, and all codes
"""

import importlib.util
import json
import sys

# RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


def load(path):
    spec = importlib.util.spec_from_file_location("verify", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def vectors(verify):
    for public, message, signature in VECTORS:
        public, message, signature = (bytes.fromhex(part) for part in (public, message, signature))
        assert verify.ed25519_verify(public, message, signature)
        for bit in range(0, 512, 7):
            other = bytearray(signature)
            other[bit // 8] ^= 1 << bit % 8
            assert not verify.ed25519_verify(public, message, bytes(other)), bit
        assert not verify.ed25519_verify(public, message + b"x", signature)
        s = int.from_bytes(signature[32:], "little") + verify.L
        assert not verify.ed25519_verify(public, message, signature[:32] + s.to_bytes(32, "little"))
    print(len(VECTORS))


def judge(verify, keys, now):
    with open(keys, encoding="utf-8") as file:
        options = verify.Options(keys=verify.parse_keys(file.read()), now=int(now))
    while True:
        length = sys.stdin.buffer.read(4)
        if not length:
            return
        report = verify.judge_bytes(sys.stdin.buffer.read(int.from_bytes(length, "big")), options)
        codes = sorted(
            "%s %s %s" % (aspect, "!" if failed else "-", code) for aspect, failed, code, _, _ in report.findings
        )
        told = {"verdicts": [report.verdict(aspect) for aspect in verify.ASPECTS], "codes": codes}
        print(json.dumps(told), flush=True)


def main():
    verify = load(sys.argv[1])
    if sys.argv[2] == "vectors":
        vectors(verify)
    else:
        judge(verify, *sys.argv[3:])


main()
