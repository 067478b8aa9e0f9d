"""asyncpg (its own protocol implementation, all binary): named statements, portals, COPY BINARY, introspection."""
import asyncio
import datetime as dt
import io
import os
import ssl
import sys

import asyncpg

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from transcript import VALUES, say  # noqa: E402


async def values(conn):
    for name, sql_type, value in VALUES:
        if name == "time":
            value = dt.time(23, 59, 59, 999999)
        got = await conn.fetchval(f"select $1::{sql_type}", value)
        say("type", name=name, value=got, equal=got == value)
    say("type", name="jsonb", value=await conn.fetchval("select $1::jsonb", '{"k": [1, null]}'))
    await conn.execute("create type pg_temp.mood as enum ('low', 'high'); create type pg_temp.pair as (a int, b pg_temp.mood)")
    say("introspected", value=tuple(await conn.fetchval("select row(1, 'high')::pg_temp.pair")), array=await conn.fetchval("select array['low']::pg_temp.mood[]"))


async def prepared(conn):
    statement = await conn.prepare("select n, n * $1::int as m from generate_series(1, $2) n")
    say("prepared", types=[t.name for t in statement.get_parameters()], columns=[a.name for a in statement.get_attributes()])
    for factor in (2, 3):
        say("prepared", rows=[tuple(row) for row in await statement.fetch(factor, 3)])
    async with conn.transaction():
        cursor = await statement.cursor(10, 100)
        say("cursor", first=[tuple(r) for r in await cursor.fetch(2)], skipped=await cursor.forward(50), next=tuple(await cursor.fetchrow()))
        total = 0
        async for row in conn.cursor("select n from generate_series(1, 500) n", prefetch=37):
            total += row["n"]
        say("cursor iteration", total=total)


async def transactions(conn):
    await conn.execute("create temporary table t (id int primary key)")
    try:
        async with conn.transaction():
            await conn.execute("insert into t values ($1)", 1)
            await conn.execute("insert into t values ($1)", 1)
    except asyncpg.UniqueViolationError as why:
        say("error", sqlstate=why.sqlstate, message=why.message, detail=why.detail, table=why.table_name, constraint=why.constraint_name)
    say("rolled back", count=await conn.fetchval("select count(*) from t"))
    tag = await conn.execute("insert into t select generate_series(1, 20)")
    say("tag", tag=tag)
    await conn.executemany("insert into t values ($1)", [(n,) for n in range(100, 400)])
    try:
        await conn.executemany("insert into t values ($1)", [(n,) for n in (1000, 1001, 1, 1002)])
    except asyncpg.UniqueViolationError as why:
        say("batch failed as a whole", sqlstate=why.sqlstate)
    say("batch", count=await conn.fetchval("select count(*) from t"))


async def copies(conn):
    await conn.execute("create temporary table c (a int, b text, d timestamptz)")
    when = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    say("copy in", tag=await conn.copy_records_to_table("c", records=[(n, f"ü{n}", when) for n in range(1000)]))
    out = io.BytesIO()
    say("copy out", tag=await conn.copy_from_query("select a, b from c where a < $1 order by a", 3, output=out, format="csv"), text=out.getvalue())
    try:
        await conn.copy_to_table("c", source=io.BytesIO(b"x,y\n"), format="csv")
    except asyncpg.PostgresError as why:
        say("copy failed", sqlstate=why.sqlstate, context=why.context)


async def notifications(conn, other):
    seen = asyncio.Queue()
    await conn.add_listener("shelf", lambda c, pid, channel, payload: seen.put_nowait((channel, payload, pid == other.get_server_pid())))
    await other.execute("notify shelf, 'hello'")
    say("notification", seen=await asyncio.wait_for(seen.get(), 20))
    logs = asyncio.Queue()
    conn.add_log_listener(lambda c, message: logs.put_nowait((message.severity_en, message.message)))
    await conn.execute("do $$ begin raise warning 'careful'; end $$")
    say("notice", seen=await asyncio.wait_for(logs.get(), 20))


async def cancel(conn, other):
    task = asyncio.create_task(conn.fetch("select pg_sleep(60)"))
    while not await other.fetchval("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'"):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        say("cancelled", value=await conn.fetchval("select 1"))
    try:
        await conn.fetch("select pg_sleep(60)", timeout=0.2)
    except asyncio.TimeoutError:
        say("timed out", value=await conn.fetchval("select 2"))


async def main():
    mode = os.environ.get("PGSSLMODE", "disable")
    tls = False
    if mode != "disable":
        tls = ssl.create_default_context(cafile=os.environ.get("PGSSLROOTCERT"))
    conn = await asyncpg.connect(ssl=tls)
    other = await asyncpg.connect(ssl=tls)
    say("connected", who=tuple(await conn.fetchrow("select current_user, current_database()")), pid=conn.get_server_pid() == await conn.fetchval("select pg_backend_pid()"), version=conn.get_server_version()[0])
    for part in (values, prepared, transactions, copies):
        await part(conn)
    rows = await conn.fetch("select n, md5(n::text), n::numeric / 7 as q from generate_series(1, 10000) n")
    say("large", count=len(rows), last=tuple(rows[-1]))
    try:
        await conn.fetch("select * from nowhere")
    except asyncpg.PostgresError as why:
        say("error", sqlstate=why.sqlstate, message=why.message, position=why.position)
    await notifications(conn, other)
    await cancel(conn, other)
    await conn.reset()
    say("reset", settings=conn.get_settings().TimeZone)
    async with asyncpg.create_pool(min_size=2, max_size=4, ssl=tls) as pool:
        say("pool", values=await asyncio.gather(*(pool.fetchval("select $1::int * 2", n) for n in range(10))))
    await conn.close()
    await other.close()


asyncio.run(main())
