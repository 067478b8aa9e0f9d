//! What is sent behind a write whose end is waited for, without waiting for the target: nothing waits for ever, the client
//! reads what it would have read, and nothing is committed that is over its limit.

use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::target::ChangedRows;
use firsthand_protocols::postgres::wal::{Naming, Verdict};
use firsthand_session::port::BoxFuture;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend;

use super::server::{Server, Session};
use super::{Through, ended, on_a_deep_stack, table, tags};

/// Names every transaction.
struct Names;

impl Naming for Names {
    fn name(&self, _: &str, _: u64, _: u64, _: bool) -> BoxFuture<'static, Verdict> {
        Box::pin(std::future::ready(Verdict::Goes))
    }
}

/// Parse, Bind and Execute.
fn run(out: &mut BytesMut, text: &str) {
    frontend::encode_parse(out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
    frontend::encode_execute(out, b"", 0).unwrap();
}

/// A COPY with one row.
fn copy(out: &mut BytesMut, row: &str) {
    run(out, "COPY t FROM STDIN -- AFFECTED=2");
    frontend::encode_copy_data(out, format!("{row}\n").as_bytes());
    frontend::encode_copy_done(out);
}

fn count(second: &mut Session) -> String {
    table(second, "SELECT count(*) FROM t").into_iter().next().unwrap()
}

#[test]
fn what_is_piped_behind_a_limited_write_goes_on() {
    on_a_deep_stack(|| {
        let server = Server::start();
        let mut second = Session::open(&server.dir);
        let mut seed = BytesMut::new();
        frontend::encode_query(&mut seed, b"CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        second.exchange(&seed).unwrap();
        for (limit, named) in [(true, false), (false, true), (true, true)] {
            let mut through = Through::open(&server, ChangedRows::Off);
            if named {
                through.dialect = through.dialect.naming(Some(Arc::new(Names)));
            }
            copies(&mut through, &mut second, limit);
            if limit {
                flushed(&mut through, &mut second);
            }
        }
    });
}

fn copies(through: &mut Through, second: &mut Session, limit: bool) {
    let insert =
        |id: &str| format!("INSERT INTO t VALUES ({id}){}", if limit { " -- AFFECTED=2" } else { "" });
    // A COPY and its data behind a write.
    let mut out = BytesMut::new();
    run(&mut out, &insert("1"));
    copy(&mut out, "2");
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!((tags(&said).as_str(), count(second).as_str()), ("12C12GCZ", "2"));
    // One of the simple protocol.
    let mut out = BytesMut::new();
    run(&mut out, &insert("3"));
    frontend::encode_query(&mut out, b"COPY t FROM STDIN").unwrap();
    frontend::encode_copy_data(&mut out, b"4\n");
    frontend::encode_copy_done(&mut out);
    let said = through.say(&out, 1);
    assert_eq!((tags(&said).as_str(), count(second).as_str()), ("12CGCZ", "4"));
    // Together they are over the limit.
    let mut out = BytesMut::new();
    run(&mut out, &insert("5), (6"));
    copy(&mut out, "7");
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    if limit {
        assert_eq!((tags(&said).as_str(), ended(&said)), ("12C12GEZ", ("RF003".to_owned(), 'I')));
        assert_eq!(count(second), "4");
    } else {
        assert_eq!(count(second), "7");
    }
    through.query("DELETE FROM t");
}

/// Who asks for answers with a Flush, reads the refusal, and then sends the Sync.
fn flushed(through: &mut Through, second: &mut Session) {
    let mut out = BytesMut::new();
    run(&mut out, "INSERT INTO t VALUES (1), (2), (3) -- AFFECTED=2");
    frontend::encode_flush(&mut out);
    through.client.extend_from_slice(&out);
    through.feed();
    while !super::messages(&through.told).iter().any(|(tag, _)| *tag == b'E') {
        super::read_more(&mut through.stream, &mut through.server);
        through.call(|me, out| {
            firsthand_protocols::dialect::Dialect::from_server(
                &mut me.dialect,
                &mut me.server,
                super::NOW,
                out,
            )
        });
    }
    let mut out = BytesMut::new();
    run(&mut out, "INSERT INTO t VALUES (4)");
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!((tags(&said).as_str(), ended(&said)), ("12EZ", ("RF003".to_owned(), 'I')));
    assert_eq!(count(second), "0");
    assert_eq!(ended(&through.query("SELECT 1")), (String::new(), 'I'));
}
