//! sqlx 0.8 (no TLS): cached named statements, binary, listener, COPY, nested transactions. Prints a transcript.

use std::str::FromStr;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::{BigDecimal, Json, Uuid};
use sqlx::{Acquire, Connection, Executor, PgConnection, Row};

fn say(step: &str, facts: Value) {
    println!("{}", json!({ "step": step, "facts": facts }));
}

fn error(why: &sqlx::Error) -> Value {
    match why.as_database_error() {
        Some(e) => json!({ "code": e.code(), "message": e.message(), "constraint": e.constraint(), "table": e.table() }),
        None => json!(why.to_string()),
    }
}

fn options() -> PgConnectOptions {
    // Host, port, user, password and database come from libpq's variables.
    PgConnectOptions::new().ssl_mode(PgSslMode::Disable).application_name("sqlx rig")
}

async fn values(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::query("select $1::bool, $2::int8, $3::float8, $4::text, $5::bytea, $6::int4")
        .bind(true)
        .bind(i64::MIN)
        .bind(-0.1f64)
        .bind("Grüße, 世界 🦀 ' \\ \n")
        .bind(vec![0u8, 255, 1])
        .bind(None::<i32>)
        .fetch_one(&mut *conn)
        .await?;
    say("types", json!([row.get::<bool, _>(0), row.get::<i64, _>(1), row.get::<f64, _>(2), row.get::<String, _>(3), row.get::<Vec<u8>, _>(4), row.get::<Option<i32>, _>(5)]));
    let row = sqlx::query("select $1::numeric, $2::uuid, $3::jsonb, $4::date, $5::timestamptz, $6::text[]")
        .bind(BigDecimal::from_str("-12345678901234567890.123456789").unwrap_or_default())
        .bind(Uuid::from_u128(7))
        .bind(Json(json!({ "k": [1, null, "ü"] })))
        .bind(NaiveDate::from_ymd_opt(2024, 2, 29))
        .bind(DateTime::<Utc>::from_timestamp(1_700_000_000, 1000))
        .bind(vec!["a", "b\"c", ""])
        .fetch_one(&mut *conn)
        .await?;
    say("types", json!([
        row.get::<BigDecimal, _>(0).to_string(), row.get::<Uuid, _>(1).to_string(), row.get::<Json<Value>, _>(2).0,
        row.get::<NaiveDate, _>(3).to_string(), row.get::<DateTime<Utc>, _>(4).to_string(), row.get::<Vec<String>, _>(5),
    ]));
    for n in 0..3i32 {
        let twice: i32 = sqlx::query_scalar("select $1 * 2").bind(n).fetch_one(&mut *conn).await?;
        say("cached", json!(twice));
    }
    Ok(())
}

async fn transactions(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    conn.execute("create temporary table t (id int primary key)").await?;
    let mut outer = Connection::begin(&mut *conn).await?;
    sqlx::query("insert into t values ($1)").bind(1i32).execute(&mut *outer).await?;
    let mut inner = Acquire::begin(&mut *outer).await?;
    if let Err(why) = sqlx::query("insert into t values ($1)").bind(1i32).execute(&mut *inner).await {
        say("duplicate", error(&why));
    }
    inner.rollback().await?;
    outer.commit().await?;
    let done = sqlx::query("insert into t select generate_series(10, 20)").execute(&mut *conn).await?;
    say("affected", json!(done.rows_affected()));
    let mut copy = conn.copy_in_raw("copy t from stdin").await?;
    copy.send("100\n101\n".as_bytes()).await?;
    say("copy in", json!(copy.finish().await?));
    let out: Vec<_> = conn.copy_out_raw("copy (select id from t order by id limit 2) to stdout").await?.try_collect().await?;
    say("copy out", json!(out.iter().map(|b| String::from_utf8_lossy(b)).collect::<String>()));
    for sql in ["select * from nowhere", "select 1/0", "selec"] {
        if let Err(why) = sqlx::query(sql).fetch_all(&mut *conn).await {
            say("error", error(&why));
        }
    }
    let many: i64 = {
        let mut rows = sqlx::query_scalar::<_, i32>("select generate_series(1, 10000)").fetch(&mut *conn);
        let mut sum = 0;
        while let Some(n) = rows.try_next().await? {
            sum += i64::from(n);
        }
        sum
    };
    say("large", json!(many));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    let mut conn = PgConnection::connect_with(&options()).await?;
    let who: (String, String) = sqlx::query_as("select current_user::text, current_setting('application_name')").fetch_one(&mut conn).await?;
    say("connected", json!(who));
    values(&mut conn).await?;
    transactions(&mut conn).await?;
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("shelf").await?;
    conn.execute("notify shelf, 'hello ü'").await?;
    let note = listener.recv().await?;
    say("notification", json!([note.channel(), note.payload()]));
    let sums = futures_util::future::try_join_all((0..20i32).map(|n| sqlx::query_scalar::<_, i32>("select $1 + 1").bind(n).fetch_one(&pool))).await?;
    say("pool", json!(sums.iter().sum::<i32>()));
    Ok(())
}
