//! Where a client connects, and how that is told to a client script (libpq's environment variables).

use std::fmt::Write as _;
use std::path::PathBuf;

/// Host, port and proof of one way to a database: direct or through the gateway.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name or address; always loopback here.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role name, or the token's login name.
    pub user: String,
    /// Password, or the token's secret.
    pub password: String,
    /// Database, or the target's name (the tests name targets after their database, so that both are equal).
    pub database: String,
    /// libpq's `sslmode`.
    pub sslmode: &'static str,
    /// Certificate authority for `verify-full`.
    pub root: Option<PathBuf>,
}

impl Place {
    /// The environment that every client script reads: libpq's own variables, which half of the drivers know anyway.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut vars = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", self.password.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGSSLMODE", self.sslmode.to_owned()),
            ("PGGSSENCMODE", "disable".to_owned()),
        ];
        if let Some(root) = &self.root {
            vars.push(("PGSSLROOTCERT", root.display().to_string()));
        }
        vars
    }

    /// A connection string for programs that take one argument.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgresql://{}:{}@{}:{}/{}?sslmode={}",
            encoded(&self.user),
            encoded(&self.password),
            self.host,
            self.port,
            encoded(&self.database),
            self.sslmode
        )
    }

    /// The same place with another `sslmode` and its authority.
    #[must_use]
    pub fn over_tls(&self, sslmode: &'static str, root: Option<PathBuf>) -> Self {
        Self { sslmode, root, ..self.clone() }
    }
}

/// Percent-encoding of everything but letters, digits and a few marks.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
