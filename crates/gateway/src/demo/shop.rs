//! The shop: a small database that looks like somebody's production, made over a direct connection before the gateway
//! starts.

use std::fmt;

use tokio_postgres::{Client, Config, NoTls};

use super::postgres::{Postgres, SUPERUSER};
use crate::failure::Failure;

/// The database, and the name of the target.
pub(super) const DATABASE: &str = "shop";
/// The role of the shop's application: the gateway's credential.
pub(super) const ROLE: &str = "shop_app";

const SCHEMA: &str = include_str!("shop.sql");

/// What there is to see in the shop.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) customers: i64,
    pub(super) orders: i64,
    pub(super) payments: i64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { customers, orders, payments } = self;
        write!(f, "{customers} customers, {orders} orders, {payments} payments")
    }
}

/// Makes the shop, and closes the superuser's door. `password` becomes the role's, and needs no quoting.
///
/// # Errors
/// When the server refuses something.
pub(super) async fn make(server: &Postgres, password: &str) -> Result<Size, Failure> {
    make_with(server, password).await.map_err(|e| {
        let what = e.as_db_error().map_or_else(|| e.to_string(), |e| e.message().to_owned());
        Failure::new(
            format!("cannot make the shop's database: {what}"),
            "put another PostgreSQL first in PATH and try again",
        )
    })
}

async fn make_with(server: &Postgres, password: &str) -> Result<Size, tokio_postgres::Error> {
    let setup = direct(server, "postgres").await?;
    setup.batch_execute(&format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")).await?;
    setup.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    let shop = direct(server, DATABASE).await?;
    shop.batch_execute(SCHEMA).await?;
    let count = "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), \
                 (SELECT count(*) FROM payments)";
    let row = shop.query_one(count, &[]).await?;
    let size = Size { customers: row.try_get(0)?, orders: row.try_get(1)?, payments: row.try_get(2)? };
    // From here on the gateway's credential is the only way in.
    setup.batch_execute(&format!("ALTER ROLE {SUPERUSER} NOLOGIN")).await?;
    Ok(size)
}

async fn direct(server: &Postgres, database: &str) -> Result<Client, tokio_postgres::Error> {
    let mut way = Config::new();
    way.host("127.0.0.1").port(server.port()).user(SUPERUSER).password(server.password()).dbname(database);
    let (client, connection) = way.application_name("firsthand demo").connect(NoTls).await?;
    // It ends with the client; what it would report, the client reports too.
    tokio::spawn(connection);
    Ok(client)
}

#[cfg(test)]
mod tests {
    use firsthand_session::secret::Secret;

    use super::*;
    use crate::demo::folder::Scratch;
    use crate::demo::postgres::random_password;
    use crate::demo::programs::Programs;
    use crate::demo::session;

    #[tokio::test]
    async fn the_story_runs_on_the_shop_as_it_is() {
        let scratch = Scratch::make().unwrap();
        let folder = scratch.path().join("server");
        let server = Postgres::start(&Programs::find().unwrap(), &folder).await.unwrap();
        let password = random_password().unwrap();
        let size = make(&server, &password).await.unwrap();
        assert_eq!(size, Size { customers: 14, orders: 22, payments: 21 });
        let way = session::Way {
            address: ([127, 0, 0, 1], server.port()).into(),
            user: ROLE.to_owned(),
            password: Secret::new(password),
            database: DATABASE.to_owned(),
        };
        let mut told = String::new();
        session::run(&way, |step| told.push_str(&step)).await.unwrap();
        for part in ["Lena Hoffmann", "ERROR 42703", "7017 | 5015 | 11990", "1 row updated", "1 row deleted"]
        {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert!(direct(&server, DATABASE).await.is_err(), "the superuser's door is closed");
    }
}
