"""psycopg2 (libpq, simple protocol only): named cursors, COPY, LISTEN/NOTIFY by poll, cancel."""
import io
import os
import select
import sys
import threading
import uuid

import psycopg2
import psycopg2.extras

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from transcript import VALUES, say  # noqa: E402

psycopg2.extras.register_uuid()


def connect():
    conn = psycopg2.connect("")
    conn.autocommit = True
    return conn


def values(cur):
    for name, sql_type, value in VALUES:
        cur.execute(f"select (%s)::{sql_type}", [value])
        got = cur.fetchone()[0]
        say("type", name=name, value=got)
    cur.execute("select %s::jsonb", [psycopg2.extras.Json({"k": [1, None]})])
    say("type", name="jsonb", value=cur.fetchone()[0])


def transactions(conn, cur):
    cur.execute("create temporary table t (id int primary key)")
    conn.autocommit = False
    cur.execute("insert into t values (1)")
    try:
        cur.execute("insert into t values (1)")
    except psycopg2.Error as why:
        say("error", sqlstate=why.pgcode, message=why.diag.message_primary, detail=why.diag.message_detail)
    try:
        cur.execute("select 1")
    except psycopg2.Error as why:
        say("failed transaction", sqlstate=why.pgcode)
    conn.rollback()
    cur.execute("select count(*) from t")
    say("rolled back", count=cur.fetchone()[0])
    conn.commit()
    with conn.cursor("server_side") as far:
        far.itersize = 7
        far.execute("select n from generate_series(1, 30) n")
        say("named cursor", total=sum(row[0] for row in far))
    conn.commit()
    conn.autocommit = True


def copies(cur):
    cur.execute("create temporary table c (a int, b text)")
    cur.copy_expert("copy c from stdin", io.StringIO("1\tone\n2\t\\N\n"))
    out = io.StringIO()
    cur.copy_expert("copy c to stdout (format csv, header)", out)
    say("copy", text=out.getvalue())
    try:
        cur.copy_expert("copy c from stdin", io.StringIO("x\ty\n"))
    except psycopg2.Error as why:
        say("copy failed", sqlstate=why.pgcode, context=why.diag.context)


def notifications(conn, cur, other):
    cur.execute("listen shelf")
    with other.cursor() as far:
        far.execute("notify shelf, 'hello'")
    while not conn.notifies:
        select.select([conn], [], [], 20)
        conn.poll()
    note = conn.notifies.pop()
    say("notification", channel=note.channel, payload=note.payload, pid=note.pid == other.get_backend_pid())


def cancel(conn, cur, other):
    def when_running():
        with other.cursor() as far:
            while True:
                far.execute("select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'")
                if far.fetchone():
                    break
        conn.cancel()

    thread = threading.Thread(target=when_running)
    thread.start()
    try:
        cur.execute("select pg_sleep(60)")
    except psycopg2.Error as why:
        say("cancel", sqlstate=why.pgcode)
    thread.join()


def main():
    conn, other = connect(), connect()
    with conn.cursor() as cur:
        cur.execute("select current_user, current_database(), pg_backend_pid() = %s", [conn.get_backend_pid()])
        say("connected", who=cur.fetchone())
        values(cur)
        transactions(conn, cur)
        copies(cur)
        notifications(conn, cur, other)
        cancel(conn, cur, other)
        cur.execute("select n, md5(n::text) from generate_series(1, 10000) n")
        rows = cur.fetchall()
        say("large", count=len(rows), last=rows[-1])
        cur.execute("select 1; select 2; create temporary table z (); select 3")
        say("several", last=cur.fetchone(), status=cur.statusmessage)
        cur.execute("do $$ begin raise notice 'seen'; end $$")
        say("notices", seen=conn.notices[-1])
        psycopg2.extras.execute_batch(cur, "insert into c values (%s, %s)", [(n, str(n)) for n in range(10, 250)])
        cur.execute("select count(*), sum(a) from c")
        say("batch", row=cur.fetchone())


main()
