//! What the agent does: a short piece of work as an assistant behind an MCP server does it, over a real connection. It
//! ends with the mistake that Firsthand was made for.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use firsthand_session::secret::Secret;
use futures_util::TryStreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage};

use crate::failure::Failure;
use crate::show::{WIDTH, clean};

/// How the agent's MCP server names itself: a claim, and recorded as one.
pub(super) const APPLICATION: &str = "postgres-mcp (billing assistant)";
/// Rows shown of one answer: it is a story, not a table.
const ROWS_SHOWN: usize = 4;
/// Characters before a statement and its answer.
const LEAD: usize = 11;

/// A parameter as a driver sends it.
enum Parameter {
    Int(i32),
    Text(&'static str),
}

/// One thing the agent does.
struct Step {
    /// Why, in its own words.
    why: &'static str,
    sql: &'static str,
    parameters: &'static [Parameter],
}

const STEPS: &[Step] = &[
    Step {
        why: "\"Lena Hoffmann says she was charged twice. Please look into it.\" Who is she?",
        sql: "SELECT id, name, city FROM customers WHERE email = $1",
        parameters: &[Parameter::Text("lena.hoffmann@post.example")],
    },
    Step {
        why: "Her payments? It guesses a column that does not exist.",
        sql: "SELECT id, amount_cents FROM payments WHERE customer_id = 101",
        parameters: &[],
    },
    Step {
        why: "It reads the error and asks again, through the orders.",
        sql: "SELECT p.id, p.order_id, p.amount_cents, p.method, p.reference \
              FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.customer_id = $1 ORDER BY p.id",
        parameters: &[Parameter::Int(101)],
    },
    Step {
        why: "Two equal amounts on order 5015. It holds the order back.",
        sql: "UPDATE orders SET status = $1 WHERE id = $2",
        parameters: &[Parameter::Text("on hold"), Parameter::Int(5015)],
    },
    Step {
        why: "A few figures for its report.",
        sql: "SELECT city, orders, revenue_cents FROM revenue_by_city ORDER BY revenue_cents DESC LIMIT 3",
        parameters: &[],
    },
    Step {
        why: "And then, as at 2 a.m. when nobody looks, it removes \"the duplicate\". (Lena had paid in two halves.)",
        sql: "DELETE FROM payments WHERE id = $1",
        parameters: &[Parameter::Int(7017)],
    },
];

/// The agent's connection string, taken apart.
pub(super) struct Way {
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) database: String,
}

/// Runs the session: connects, does each step, leaves, and waits until the other side has let go. `tell` gets each step
/// with its answer as it happens.
///
/// # Errors
/// When it cannot connect, or the connection is lost. An error that answers a statement is part of the story.
pub(super) async fn run(way: &Way, tell: impl FnMut(String)) -> Result<(), Failure> {
    let failed = |what: String| {
        Failure::new(
            format!("the agent's session failed: {what}"),
            "this is a defect of Firsthand or a killed process; please report it if it stays",
        )
    };
    let (stream, mut rest) = connect(way.address).map_err(|e| failed(e.to_string()))?;
    work(way, stream, tell)
        .await
        .map_err(|e| failed(e.as_db_error().map_or(e.to_string(), |e| e.to_string())))?;
    // The gateway closes its side after the session's end has been noted: so the record that is read next is whole.
    rest.read_to_end(&mut Vec::new()).await.map(drop).map_err(|e| failed(e.to_string()))
}

/// A connection, and a second hold on it with which to see its end.
fn connect(address: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    let rest = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(rest)?))
}

async fn work(
    way: &Way,
    stream: TcpStream,
    mut tell: impl FnMut(String),
) -> Result<(), tokio_postgres::Error> {
    let mut config = Config::new();
    config.user(&way.user).password(way.password.expose()).dbname(&way.database);
    let (client, connection) = config.application_name(APPLICATION).connect_raw(stream, NoTls).await?;
    let connection = tokio::spawn(connection);
    for step in STEPS {
        let answer = match step.ask(&client).await {
            Ok(answer) => answer,
            Err(e) => match e.as_db_error() {
                Some(said) => vec![format!("ERROR {}: {}", said.code().code(), said.message())],
                None => return Err(e),
            },
        };
        tell(step.told(&answer));
    }
    // Its goodbye has been sent when the connection has ended.
    drop(client);
    connection.await.unwrap_or(Ok(()))
}

impl Step {
    /// Asks, and puts the answer in short lines.
    async fn ask(&self, client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
        if self.parameters.is_empty() {
            return Ok(shown(simple_rows(&client.simple_query(self.sql).await?)));
        }
        let parameters = self.parameters.iter().map(Parameter::typed);
        let rows = client.query_typed_raw(self.sql, parameters).await?;
        tokio::pin!(rows);
        let mut lines = Vec::new();
        while let Some(row) = rows.try_next().await? {
            lines.push(typed_row(&row)?);
        }
        if self.sql.starts_with("SELECT") {
            return Ok(shown(lines));
        }
        let done = if self.sql.starts_with("DELETE") { "deleted" } else { "updated" };
        Ok(vec![format!("{} {done}", rows_of(rows.rows_affected().unwrap_or(0)))])
    }

    fn told(&self, answer: &[String]) -> String {
        let mut text = format!("  {}\n", self.why);
        let mut asked = clean::wrap(self.sql, WIDTH - LEAD);
        for (number, parameter) in self.parameters.iter().enumerate() {
            asked.push(format!("${} = {}", number + 1, parameter.shown()));
        }
        for (first, lines) in [("asks", asked.as_slice()), ("gets", answer)] {
            for (number, line) in lines.iter().enumerate() {
                let first = if number == 0 { first } else { "" };
                let _ = writeln!(text, "    {first:<width$}{line}", width = LEAD - 4);
            }
        }
        text
    }
}

impl Parameter {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Int(number) => (number, Type::INT4),
            Self::Text(text) => (text, Type::TEXT),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Int(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
        }
    }
}

/// A count and a few rows.
fn shown(rows: Vec<String>) -> Vec<String> {
    let mut lines = vec![rows_of(rows.len() as u64)];
    let more = rows.len().saturating_sub(ROWS_SHOWN);
    lines.extend(rows.into_iter().take(ROWS_SHOWN));
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn rows_of(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn simple_rows(messages: &[SimpleQueryMessage]) -> Vec<String> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let values = (0..row.len()).map(|i| row.try_get(i).ok().flatten().unwrap_or("null"));
        values.collect::<Vec<_>>().join(" | ")
    })
    .collect()
}

fn typed_row(row: &Row) -> Result<String, tokio_postgres::Error> {
    let values = (0..row.len()).map(|i| row.try_get::<_, Option<Shown>>(i));
    let values = values.map(|value| Ok(value?.map_or_else(|| "null".to_owned(), |Shown(text)| text)));
    Ok(values.collect::<Result<Vec<_>, tokio_postgres::Error>>()?.join(" | "))
}

/// A value of one of the types that the story reads.
struct Shown(String);

impl<'a> FromSql<'a> for Shown {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT4 => i32::from_sql(ty, raw)?.to_string(),
            Type::INT8 => i64::from_sql(ty, raw)?.to_string(),
            _ => <&str>::from_sql(ty, raw)?.to_owned(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT4 | Type::INT8) || <&str as FromSql>::accepts(ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_cut_and_says_so() {
        let rows = |n: usize| shown((0..n).map(|i| i.to_string()).collect());
        assert_eq!(rows(0), ["0 rows"]);
        assert_eq!(rows(1), ["1 row", "0"]);
        assert_eq!(rows(6), ["6 rows", "0", "1", "2", "3", "… and 2 more"]);
    }

    #[test]
    fn a_step_is_told_with_its_parameters() {
        let step = Step { why: "Why.", sql: "SELECT $1", parameters: &[Parameter::Text("x")] };
        let told = step.told(&["1 row".to_owned(), "x".to_owned()]);
        assert_eq!(
            told,
            "  Why.\n    asks   SELECT $1\n           $1 = 'x'\n    gets   1 row\n           x\n"
        );
    }
}
