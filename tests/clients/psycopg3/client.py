"""psycopg 3 (libpq inside): extended protocol, pipeline mode, COPY text and binary, cursors, notifications, cancel."""
import asyncio
import os
import sys
import threading

import psycopg
from psycopg.types.json import Jsonb

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from transcript import VALUES, say  # noqa: E402


def types(conn):
    for binary in (False, True):
        for name, sql_type, value in VALUES:
            placeholder = "%b" if binary else "%t"
            row = conn.execute(f"select {placeholder}::{sql_type} as v", [value], binary=binary).fetchone()
            say("type", name=name, binary=binary, value=row[0], equal=row[0] == value)
        doc = {"k": [1, 2.5, None, {"ü": "\u2028"}]}
        say("type", name="jsonb", binary=binary, value=conn.execute("select %s::jsonb", [Jsonb(doc)], binary=binary).fetchone()[0])


def prepared(conn):
    # The eighth time psycopg has long since switched to a named statement.
    for number in range(8):
        say("prepared", value=conn.execute("select %s::int4 * 2 as twice", [number]).fetchone()[0])
    conn.execute("create temporary table reuse (a int)")
    for _ in range(7):
        conn.execute("select * from reuse").fetchall()
    conn.execute("alter table reuse add b int")
    try:
        conn.execute("select * from reuse")
    except psycopg.Error as why:
        say("prepared stale", sqlstate=why.sqlstate)


def transactions(conn):
    conn.execute("create temporary table t (id int primary key, note text)")
    with conn.transaction():
        conn.execute("insert into t values (1, 'kept')")
        try:
            with conn.transaction():
                conn.execute("insert into t values (2, 'undone')")
                conn.execute("insert into t values (1, 'twice')")
        except psycopg.errors.UniqueViolation as why:
            say("savepoint", sqlstate=why.sqlstate, message=why.diag.message_primary, detail=why.diag.message_detail)
    try:
        with conn.transaction():
            conn.execute("delete from t")
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    say("transaction", rows=conn.execute("select * from t order by id").fetchall(), status=conn.info.transaction_status.name)


def errors(conn):
    for sql in ("select * from nowhere", "select 1/0", "selec 1", "select 'é' || nope()"):
        try:
            conn.execute(sql)
        except psycopg.Error as why:
            d = why.diag
            say("error", sql=sql, sqlstate=d.sqlstate, message=d.message_primary, position=d.statement_position,
                hint=d.message_hint, routine=d.source_function, line=d.source_line)
    notices = []
    conn.add_notice_handler(lambda d: notices.append([d.severity, d.message_primary, d.sqlstate]))
    conn.execute("do $$ begin raise notice 'first'; raise warning using message = 'second', errcode = 'RF999'; end $$")
    say("notices", seen=notices)


def copy(conn):
    conn.execute("create temporary table c (a int, b text, c bytea)")
    with conn.cursor() as cur:
        with cur.copy("copy c from stdin") as out:
            for row in ((1, "one\ttab", b"\0\1"), (2, None, None), (3, "ü\\", b"x" * 70000)):
                out.write_row(row)
        say("copy in", count=cur.rowcount)
        with cur.copy("copy c from stdin (format binary)") as out:
            out.set_types(["int4", "text", "bytea"])
            out.write_row((4, "binary", b"\xff"))
        with cur.copy("copy c to stdout") as rows:
            say("copy out", rows=[[v if v is None or len(v) < 99 else len(v) for v in row] for row in rows.rows()])
        with cur.copy("copy (select a, b from c order by a) to stdout (format binary)") as rows:
            rows.set_types(["int4", "text"])
            say("copy binary", rows=list(rows.rows()))
        for broken in ("copy c from stdin", "copy nowhere from stdin"):
            try:
                with cur.copy(broken) as out:
                    out.write("not\tenough\n")
            except psycopg.Error as why:
                say("copy failed", sqlstate=why.sqlstate, message=why.diag.message_primary, context=why.diag.context)
        try:
            with cur.copy("copy c from stdin") as out:
                out.write_row((5, "given up", None))
                raise KeyError("the client gives up")
        except KeyError:
            say("copy given up", count=conn.execute("select count(*) from c").fetchone()[0])


def cursors(conn):
    with conn.transaction(), conn.cursor(name="far") as cur:
        cur.execute("select n, repeat('x', 10) from generate_series(1, 1000) n")
        say("cursor", first=cur.fetchmany(3), next=cur.fetchmany(2), scrolled=(cur.scroll(100), cur.fetchone())[1])
    with conn.cursor() as cur:
        total = sum(row[0] for row in cur.stream("select n from generate_series(1, 5000) n"))
        say("single row mode", total=total)
    rows = conn.execute("select n, md5(n::text), n::numeric / 7 from generate_series(1, 10000) n").fetchall()
    say("large", count=len(rows), last=rows[-1])


def pipeline(conn):
    with conn.pipeline() as p:
        cursors = [conn.execute("select %s::int", [n]) for n in range(5)]
        p.sync()
        say("pipeline", values=[cur.fetchone()[0] for cur in cursors])
    outcomes = []
    try:
        with conn.pipeline() as p:
            steps = [conn.execute(sql) for sql in ("select 1", "select 1/0", "select 2")]
            p.sync()
            after = conn.execute("select 3")
            p.sync()
            for cur in [*steps, after]:
                try:
                    outcomes.append(cur.fetchone()[0])
                except psycopg.Error as why:
                    outcomes.append(why.sqlstate or type(why).__name__)
    except psycopg.Error as why:
        outcomes.append("raised " + (why.sqlstate or type(why).__name__))
    say("pipeline with an error", outcomes=outcomes)
    with conn.cursor() as cur:
        cur.executemany("select %s::int + 1", [(n,) for n in range(50)], returning=True)
        total = 0
        while True:
            total += cur.fetchone()[0]
            if not cur.nextset():
                break
        say("executemany", total=total)


def notifications(conn, other):
    conn.execute("listen shelf")
    other.execute("select pg_notify('shelf', 'from elsewhere ü')")
    conn.execute("notify shelf, 'from here'")
    seen = []
    for note in conn.notifies(timeout=20, stop_after=2):
        seen.append([note.channel, note.payload, note.pid in (conn.info.backend_pid, other.info.backend_pid)])
    say("notifications", seen=sorted(seen))


def cancel(conn, other):
    def when_running():
        # Event, not a delay: the statement shows in pg_stat_activity once it runs.
        while other.execute("select count(*) from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'").fetchone()[0] == 0:
            pass
        conn.cancel_safe(timeout=20)

    thread = threading.Thread(target=when_running)
    thread.start()
    try:
        conn.execute("select pg_sleep(60) -- to be cancelled")
    except psycopg.errors.QueryCanceled as why:
        say("cancel", sqlstate=why.sqlstate, message=why.diag.message_primary)
    thread.join()
    say("after cancel", value=conn.execute("select 1").fetchone()[0])


def session(conn):
    say("session", backend=conn.info.backend_pid == conn.execute("select pg_backend_pid()").fetchone()[0],
        server=conn.info.server_version, encoding=conn.info.encoding, user=conn.execute("select current_user, session_user, current_database()").fetchone())
    conn.execute("set time zone 'Europe/Berlin'")
    say("parameter status", zone=conn.info.parameter_status("TimeZone"))
    conn.execute("set role app_reader")
    say("role", now=conn.execute("select current_user").fetchone()[0])
    conn.execute("discard all")
    say("discarded", now=conn.execute("select current_user").fetchone()[0], zone=conn.info.parameter_status("TimeZone"))


async def asynchronous():
    async with await psycopg.AsyncConnection.connect(autocommit=True) as conn:
        async with conn.cursor() as cur:
            await cur.execute("select array_agg(n) from generate_series(1, %s) n", [5])
            say("async", row=await cur.fetchone())
        async with conn.pipeline():
            cursors = [await conn.execute("select %s::text", [str(n)]) for n in range(3)]
            say("async pipeline", values=[(await cur.fetchone())[0] for cur in cursors])


def large_object(conn):
    with conn.transaction():
        oid = conn.execute("select lo_from_bytea(0, %s)", [b"large" * 1000]).fetchone()[0]
        data = conn.execute("select lo_get(%s)", [oid], binary=True).fetchone()[0]
        say("large object", size=len(data), ok=data == b"large" * 1000)
        conn.execute("select lo_unlink(%s)", [oid])


def main():
    with psycopg.connect(autocommit=True, application_name="psycopg3 rig") as conn, psycopg.connect(autocommit=True) as other:
        say("connected", libpq=psycopg.pq.version() // 10000, tls=conn.pgconn.ssl_in_use, name=conn.info.parameter_status("application_name"))
        say("simple", rows=conn.execute("select 1 as one, 'two' as two").fetchall())
        for part in (types, prepared, transactions, errors, copy, cursors, pipeline, large_object, session):
            part(conn)
        notifications(conn, other)
        cancel(conn, other)
        say("several in one", results=[cur.fetchall() for cur in conn.execute("select 1; select 2, 3; select 'end'").results()])
    asyncio.run(asynchronous())


main()
