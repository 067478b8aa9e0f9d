// pgx 5: cached named statements, binary results, batches, COPY, notifications, cancel by context. Prints a transcript.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func say(step string, facts any) {
	line, err := json.Marshal(map[string]any{"step": step, "facts": facts})
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func failing(step string, err error) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		say(step, []any{pg.Code, pg.Message, pg.Detail, pg.Position})
		return
	}
	say(step, fmt.Sprint(err))
}

func values(ctx context.Context, conn *pgx.Conn) {
	cases := []struct {
		kind  string
		value any
	}{
		{"bool", true}, {"int2", int16(-32768)}, {"int8", int64(-9223372036854775808)}, {"float8", -0.1},
		{"text", "Grüße, 世界 🦀 ' \\ \n"}, {"bytea", []byte{0, 255}}, {"uuid", "6f2c9c6e-7d1b-4c5e-9a1f-0123456789ab"},
		{"numeric", "-12345678901234567890.123456789"}, {"jsonb", `{"k": [1, null]}`}, {"int4[]", []int32{1, 2, -3}},
		{"timestamptz", time.Date(2026, 3, 1, 2, 0, 0, 1000, time.UTC)}, {"int4", nil},
	}
	for _, c := range cases {
		for run := 0; run < 2; run++ {
			var text *string
			check(conn.QueryRow(ctx, "select ($1::"+c.kind+")::text", c.value).Scan(&text))
			say("type", []any{c.kind, text})
		}
	}
}

func batches(ctx context.Context, conn *pgx.Conn) {
	_, err := conn.Exec(ctx, "create temporary table t (id int primary key, note text)")
	check(err)
	batch := &pgx.Batch{}
	for n := 0; n < 5; n++ {
		batch.Queue("insert into t values ($1, $2) returning id", n, fmt.Sprint("n", n))
	}
	batch.Queue("insert into t values (0, 'twice')")
	batch.Queue("select 1")
	results := conn.SendBatch(ctx, batch)
	for n := 0; n < 7; n++ {
		_, err := results.Exec()
		failing("batch", err)
	}
	_ = results.Close()
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"id", "note"}, pgx.CopyFromRows([][]any{{1, "a"}, {2, nil}}))
	check(err)
	say("copy from", count)
	var out strings.Builder
	tag, err := conn.PgConn().CopyTo(ctx, &out, "copy t to stdout")
	check(err)
	say("copy to", []any{tag.String(), out.String()})
	tx, err := conn.Begin(ctx)
	check(err)
	_, err = tx.Exec(ctx, "delete from t")
	check(err)
	check(tx.Rollback(ctx))
	var rows int
	check(conn.QueryRow(ctx, "select count(*) from t").Scan(&rows))
	say("rows", rows)
}

func main() {
	ctx := context.Background()
	config, err := pgx.ParseConfig("application_name=pgx-rig")
	check(err)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { say("notice", notice.Message) }
	conn, err := pgx.ConnectConfig(ctx, config)
	check(err)
	defer conn.Close(ctx)
	var pid uint32
	check(conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid))
	say("connected", []any{conn.Config().RuntimeParams["application_name"], pid == conn.PgConn().PID()})
	values(ctx, conn)
	batches(ctx, conn)
	_, err = conn.Exec(ctx, "select * from nowhere")
	failing("unknown table", err)
	_, err = conn.Exec(ctx, "do $$ begin raise notice 'seen'; end $$")
	check(err)
	rows, err := conn.Query(ctx, "select n, md5(n::text) from generate_series(1, 10000) n")
	check(err)
	total := 0
	for rows.Next() {
		total++
	}
	say("large", total)
	_, err = conn.Exec(ctx, "listen shelf")
	check(err)
	_, err = conn.Exec(ctx, "notify shelf, 'hello'")
	check(err)
	note, err := conn.WaitForNotification(ctx)
	check(err)
	say("notification", []any{note.Channel, note.Payload, note.PID == pid})
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err = conn.Exec(short, "select pg_sleep(60)")
	say("cancelled", errors.Is(err, context.DeadlineExceeded))
}
