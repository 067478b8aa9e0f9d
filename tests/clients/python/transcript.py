"""What every Python client script shares: printing a deterministic transcript, and values of many types.

A transcript is one JSON object a line. It must not hold anything that differs between two runs on equal servers
(process ids, times, ports): the tests compare the direct transcript with the one through the gateway as text.
"""
import datetime as dt
import decimal
import json
import uuid


def plain(value):
    """A value as JSON, with its Python type where JSON would hide it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes:" + bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return f"{type(value).__name__}:{value}"


def say(step, **facts):
    print(json.dumps({"step": step, **{key: plain(value) for key, value in facts.items()}}, sort_keys=True), flush=True)


# Name, SQL type, Python value: each goes out as a parameter and comes back as a column.
VALUES = [
    ("bool", "boolean", True),
    ("int2", "smallint", -32768),
    ("int4", "integer", 2147483647),
    ("int8", "bigint", -9223372036854775808),
    ("float4", "real", 1.5),
    ("float8", "double precision", -2.2250738585072014e-308),
    ("numeric", "numeric", decimal.Decimal("-12345678901234567890.123456789")),
    ("text", "text", "Grüße, 世界 🦀 'quoted' \\ back\nline"),
    ("empty", "text", ""),
    ("bytea", "bytea", bytes(range(256))),
    ("uuid", "uuid", uuid.UUID("6f2c9c6e-7d1b-4c5e-9a1f-0123456789ab")),
    ("date", "date", dt.date(2024, 2, 29)),
    ("time", "time", dt.time(23, 59, 59, 999999)),
    ("timestamp", "timestamp", dt.datetime(1999, 12, 31, 23, 59, 59, 123456)),
    ("timestamptz", "timestamptz", dt.datetime(2026, 3, 1, 2, 0, 0, 1, tzinfo=dt.timezone.utc)),
    ("interval", "interval", dt.timedelta(days=-3, seconds=4, microseconds=5)),
    ("int4[]", "integer[]", [1, None, -3]),
    ("text[]", "text[]", ["a", 'b"c', "", None, "{}"]),
    ("null", "integer", None),
]
