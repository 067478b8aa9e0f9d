//! The agent: an ordinary client with a token for a password. It does not know that there is a gateway.

use std::net::SocketAddr;

use firsthand_session::secret::Secret;
use tokio_postgres::{Client, Config, NoTls};

use super::progress::Progress;
use crate::failure::Failure;

/// A way in to a database.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) database: String,
    pub(super) application: &'static str,
}

/// Connects as any driver does.
pub(super) async fn connect(door: &Door) -> Result<Client, Failure> {
    let (client, connection) = Config::new()
        .host(door.address.ip().to_string())
        .port(door.address.port())
        .user(&door.user)
        .password(door.password.expose())
        .dbname(&door.database)
        .application_name(door.application)
        .connect(NoTls)
        .await
        .map_err(|e| failed("connect", &e))?;
    // It ends when the client is dropped; an error shows at the client too.
    tokio::spawn(connection);
    Ok(client)
}

/// The night's work: reads, a write, an error, and at 2 a.m. the delete that somebody will ask about.
pub(super) async fn work(door: &Door, progress: &Progress) -> Result<(), Failure> {
    let client = connect(door).await?;
    progress.say("agent: which orders are open?");
    let open = client
        .query("SELECT id, customer_id, total FROM orders WHERE status = 'open' ORDER BY id", &[])
        .await
        .map_err(|e| failed("read the open orders", &e))?;
    let first: i32 = open.first().map_or(1053, |row| row.get(0));
    progress.say("agent: who placed the first of them? (a parameter)");
    let customer =
        "SELECT c.name, c.email FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id = $1";
    client.query(customer, &[&first]).await.map_err(|e| failed("read a customer", &e))?;
    progress.say("agent: marks it as reminded (a write)");
    client
        .execute("UPDATE orders SET status = 'reminded' WHERE id = $1", &[&first])
        .await
        .map_err(|e| failed("write", &e))?;
    progress.say("agent: asks for a table that is not there (an error)");
    if client.simple_query("SELECT total FROM invoices WHERE customer_id = 3").await.is_ok() {
        return Err(Failure::new("a table that does not exist was read", "this is a defect; report it"));
    }
    progress.say("agent: 2 a.m.: deletes a payment that it takes for a duplicate");
    client
        .simple_query("DELETE FROM payments WHERE order_id = 1042 AND method <> 'card'")
        .await
        .map_err(|e| failed("delete", &e))?;
    Ok(())
}

/// What a client was told, in the words of the server.
pub(super) fn failed(what: &str, e: &tokio_postgres::Error) -> Failure {
    let said = e.as_db_error().map_or_else(|| e.to_string(), |db| db.message().to_owned());
    Failure::new(format!("the demo could not {what}: {said}"), "run it again; if it stays, report it")
}
