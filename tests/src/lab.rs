//! Two ways to the same database: direct, and through the gateway to a second server that is a copy of the first.

use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::gateway::{Gateway, Settings, Target};
use crate::place::Place;
use crate::postgres::{DATABASE, Postgres};
use crate::process;

/// Login name of the token that the lab creates.
pub const AGENT: &str = "night-agent";

/// How a lab is made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Database on both sides, and the target's name.
    pub database: String,
    /// Role on both sides: the direct client logs in as it, the gateway too.
    pub role: String,
    /// TLS on the servers and on the gateway.
    pub tls: bool,
    /// Further lines of the target.
    pub more: String,
    /// Further top-level TOML, such as `[policy]`.
    pub top: String,
    /// SQL run on both servers as the superuser first, in `database`.
    pub seed: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            database: DATABASE.to_owned(),
            role: "app".to_owned(),
            tls: false,
            more: String::new(),
            top: String::new(),
            seed: String::new(),
        }
    }
}

/// Both ways, running.
#[derive(Debug)]
pub struct Lab {
    /// The server reached directly.
    pub near: Postgres,
    /// The server behind the gateway.
    pub far: Postgres,
    /// The gateway.
    pub gateway: Gateway,
    /// The token's secret.
    pub secret: String,
    /// Certificates, when the plan has TLS.
    pub certificates: Option<Certificates>,
    plan: Plan,
    _folder: TempDir,
}

impl Lab {
    /// Two servers and a gateway with one target and one token.
    pub fn start(plan: Plan) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firsthand-lab-").tempdir()?;
        let certificates = plan.tls.then(|| Certificates::write(folder.path())).transpose()?;
        let near = Postgres::start(certificates.as_ref())?;
        let far = Postgres::start(certificates.as_ref())?;
        for server in [&near, &far] {
            if !plan.seed.is_empty() {
                server.sql(&plan.database, &plan.seed)?;
            }
        }
        // Both ways are compared: no session is named that would have no name on the direct one.
        let more = format!("name_sessions = false\n{}", plan.more);
        let mut target = Target::of(&far.place(&plan.role, &plan.database)).more(&more);
        let mut settings = Settings { more: plan.top.clone(), ..Settings::default() };
        if let Some(certificates) = &certificates {
            let ca = certificates.crt("ca").display().to_string();
            target = target.tls("verify-full").more(&format!("tls_ca = {ca:?}\n{more}"));
            settings.tls = Some((certificates.crt("server"), certificates.key("server")));
        }
        settings.targets.push(target);
        let gateway = Gateway::start(settings)?;
        let secret = gateway.token(AGENT, &[&plan.database])?;
        Ok(Self { near, far, gateway, secret, certificates, plan, _folder: folder })
    }

    /// The direct way.
    #[must_use]
    pub fn direct(&self) -> Place {
        self.near.place(&self.plan.role, &self.plan.database)
    }

    /// The way through the gateway.
    #[must_use]
    pub fn through(&self) -> Place {
        self.gateway.place(AGENT, &self.secret, &self.plan.database)
    }

    /// Runs a program against both places and returns what it printed there.
    pub fn both(&self, make: impl Fn(&Place) -> Result<Command>) -> Result<(String, String)> {
        let run = |place: &Place| process::run(make(place)?.envs(place.environment()));
        let direct = run(&self.direct()).context("direct")?;
        let through = run(&self.through()).context("through the gateway")?;
        Ok((direct, through))
    }
}

/// The first line where two transcripts differ, with a little context; `None` when they are equal.
#[must_use]
pub fn first_difference(direct: &str, through: &str) -> Option<String> {
    if direct == through {
        return None;
    }
    let (mut left, mut right) = (direct.lines(), through.lines());
    let mut number = 1;
    loop {
        let (a, b) = (left.next(), right.next());
        if a != b || a.is_none() {
            let show =
                |line: Option<&str>| line.unwrap_or("(nothing more)").chars().take(600).collect::<String>();
            return Some(format!("line {number}\n  direct:  {}\n  through: {}", show(a), show(b)));
        }
        number += 1;
    }
}
