//! tokio-postgres: named statements in binary, pipelining, portals, COPY both ways, cancel. Prints a transcript.

use std::fmt::Debug;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future, pin_mut};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, SimpleQueryMessage};

#[expect(clippy::print_stdout, reason = "the transcript is this program's output")]
fn say(step: &str, facts: &serde_json::Value) {
    println!("{}", json!({ "step": step, "facts": facts }));
}

fn failing<T: Debug>(step: &str, result: Result<T, Error>) {
    match result {
        Ok(value) => say(step, &json!(format!("unexpected {value:?}"))),
        Err(why) => say(
            step,
            &match why.as_db_error() {
                Some(e) => {
                    json!({ "code": e.code().code(), "message": e.message(), "detail": e.detail(), "hint": e.hint() })
                }
                None => json!(why.to_string()),
            },
        ),
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

async fn connect() -> Result<(Client, mpsc::UnboundedReceiver<AsyncMessage>)> {
    let mut config = Config::new();
    config.host(variable("PGHOST")?).port(variable("PGPORT")?.parse()?);
    config.user(variable("PGUSER")?).password(variable("PGPASSWORD")?).dbname(variable("PGDATABASE")?);
    config.application_name("tokio-postgres rig");
    let (client, mut connection) = config.connect(NoTls).await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            let _ = sender.send(message);
        }
    });
    Ok((client, receiver))
}

async fn values(client: &Client) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).collect();
    let list = vec![Some(1i32), None, Some(-3)];
    let values: [(&str, &(dyn ToSql + Sync)); 9] = [
        ("bool", &true),
        ("int2", &i16::MIN),
        ("int4", &i32::MAX),
        ("int8", &i64::MIN),
        ("float4", &1.5f32),
        ("float8", &-0.1f64),
        ("text", &"Grüße, 世界 🦀 ' \\ \n"),
        ("bytea", &bytes),
        ("int4[]", &list),
    ];
    for (name, value) in values {
        let row = client.query_one(&format!("select $1::{name}, ($1::{name})::text"), &[value]).await?;
        say("type", &json!([name, row.get::<_, String>(1)]));
    }
    let row = client.query_one("select $1::int4, $2::text", &[&None::<i32>, &None::<&str>]).await?;
    say("nulls", &json!([row.get::<_, Option<i32>>(0), row.get::<_, Option<String>>(1)]));
    let statement = client.prepare_typed("select $1, $1 + 1", &[Type::INT8]).await?;
    for n in 0..3i64 {
        let row = client.query_one(&statement, &[&n]).await?;
        say("prepared", &json!([row.get::<_, i64>(0), row.get::<_, i64>(1)]));
    }
    Ok(())
}

async fn pipelined(client: &Client) -> Result<()> {
    let statement = client.prepare("select 10 / $1::int").await?;
    let (zero, one) = (0i32, 1i32);
    let params: [[&(dyn ToSql + Sync); 1]; 3] = [[&one], [&zero], [&one]];
    let answers = future::join_all(params.iter().map(|p| client.query_one(&statement, p))).await;
    for answer in answers {
        match answer {
            Ok(row) => say("pipeline", &json!(row.get::<_, i32>(0))),
            Err(why) => failing::<()>("pipeline", Err(why)),
        }
    }
    let simple = client.simple_query("select 1; select 'two' as b; create temporary table s (); selec").await;
    failing("several, the last wrong", simple);
    for message in client.simple_query("select 1 as a; select 2; drop table if exists none").await? {
        match message {
            SimpleQueryMessage::Row(row) => say("simple row", &json!(row.get(0))),
            SimpleQueryMessage::CommandComplete(count) => say("simple complete", &json!(count)),
            _ => {}
        }
    }
    Ok(())
}

async fn transactions(client: &mut Client) -> Result<()> {
    client.batch_execute("create temporary table t (id int primary key, note text)").await?;
    let mut outer = client.transaction().await?;
    outer.execute("insert into t values ($1, $2)", &[&1i32, &"kept"]).await?;
    let inner = outer.transaction().await?;
    failing("savepoint", inner.execute("insert into t values (1, 'twice')", &[]).await);
    inner.rollback().await?;
    let portal = outer.bind("select generate_series(1, 25)", &[]).await?;
    for limit in [10, 10, 10] {
        let rows = outer.query_portal(&portal, limit).await?;
        say("portal", &json!(rows.len()));
    }
    outer.commit().await?;
    let undone = client.transaction().await?;
    say("deleted", &json!(undone.execute("delete from t", &[]).await?));
    drop(undone);
    let row = client.query_one("select count(*) from t", &[]).await?;
    say("rows", &json!(row.get::<_, i64>(0)));
    Ok(())
}

async fn copies(client: &Client) -> Result<()> {
    client.batch_execute("create temporary table c (a int, b text)").await?;
    let sink = client.copy_in("copy c from stdin").await?;
    pin_mut!(sink);
    for piece in ["1\tone\n", "2\tzw", "ei ü\n"] {
        sink.send(Bytes::from(piece)).await?;
    }
    say("copy in", &json!(sink.finish().await?));
    let out = client.copy_out("copy c to stdout").await?;
    let pieces: Vec<Bytes> = out.try_collect().await?;
    let all = pieces.concat();
    say("copy out", &json!(String::from_utf8_lossy(&all)));
    let sink = client.copy_in("copy c from stdin").await?;
    pin_mut!(sink);
    sink.send(Bytes::from("x\ty\n")).await?;
    failing("copy failed", sink.finish().await);
    let abandoned = client.copy_in::<_, Bytes>("copy c from stdin").await?;
    drop(abandoned);
    say(
        "after a dropped copy",
        &json!(client.query_one("select count(*) from c", &[]).await?.get::<_, i64>(0)),
    );
    Ok(())
}

async fn cancel(client: &Client, other: &Client) -> Result<()> {
    let running = client.batch_execute("select pg_sleep(60)");
    let token = client.cancel_token();
    let cancelling = async {
        let active =
            "select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
        while other.query_opt(active, &[]).await?.is_none() {}
        token.cancel_query(NoTls).await
    };
    let (outcome, sent) = tokio::join!(running, cancelling);
    sent?;
    failing("cancelled", outcome);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (mut client, mut messages) = connect().await?;
    let (other, _) = connect().await?;
    let row = client.query_one("select current_user::text, current_setting('application_name')", &[]).await?;
    say("connected", &json!([row.get::<_, String>(0), row.get::<_, String>(1)]));
    values(&client).await?;
    pipelined(&client).await?;
    transactions(&mut client).await?;
    copies(&client).await?;
    failing("unknown table", client.query("select * from nowhere", &[]).await);
    failing("wrong parameter", client.query_one("select $1::int", &[&"x"]).await);
    let rows = client.query("select n, md5(n::text) from generate_series(1, 10000) n", &[]).await?;
    say("large", &json!([rows.len(), rows.last().map(|r| r.get::<_, String>(1))]));
    client.batch_execute("listen shelf").await?;
    other.batch_execute("notify shelf, 'hello ü'").await?;
    loop {
        match messages.recv().await {
            Some(AsyncMessage::Notification(note)) => {
                say("notification", &json!([note.channel(), note.payload()]));
                break;
            }
            Some(AsyncMessage::Notice(notice)) => say("notice", &json!(notice.message())),
            Some(_) => {}
            None => bail!("the connection ended"),
        }
    }
    cancel(&client, &other).await?;
    let again = client.query_one("select 1", &[]).await?;
    say("after cancel", &json!(again.get::<_, i32>(0)));
    Ok(())
}
