//! A real OpenID provider (`tests/clients/oidc`), and the person who signs in there.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::browser::{Browser, Page, encoded};
use crate::clients;
use crate::process::Daemon;

/// What its client `gateway` proves itself with.
pub const SECRET: &str = "the-secret+/of the gateway";

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    /// Held for its life only.
    _daemon: Daemon,
    /// What its tokens say in `iss`.
    pub url: String,
}

impl Provider {
    /// Starts one.
    pub fn start() -> Result<Self> {
        clients::setup("oidc")?;
        let mut command = Command::new("node");
        command.arg(clients::folder().join("oidc").join("provider.mjs"));
        command.arg(clients::installed().join("oidc").join("node_modules"));
        let mut daemon = Daemon::start("provider", &command, None)?;
        let line = daemon.wait_line(|line| line.starts_with("provider on "))?;
        let url = line.trim_start_matches("provider on ").to_owned();
        Ok(Self { _daemon: daemon, url })
    }

    /// Gives it another key, and what it had none any more; browsers are sent back to `redirect` from now on.
    pub fn anew(&self, redirect: Option<&str>) -> Result<()> {
        let more = redirect.map(|to| format!("?redirect={}", encoded(to))).unwrap_or_default();
        let page = Browser::default().get(&format!("{}/control/anew{more}", self.url))?;
        ensure!(page.status == 200, "{}", page.body);
        Ok(())
    }
}

/// Somebody opens the address that was shown, whose code is in it, and confirms it; or says no.
pub fn types_code(browser: &mut Browser, url: &str, who: Option<&str>) -> Result<Page> {
    let page = browser.open(url)?;
    let confirm = browser.submit(&page, &[])?;
    match who {
        Some(who) => {
            let page = browser.submit(&confirm, &[])?;
            let page = signs_in(browser, &page, who)?;
            ensure!(page.body.contains("Sign-in Success"), "{}", page.body);
            Ok(page)
        }
        None => browser.submit(&confirm, &[("abort", "yes")]),
    }
}

/// Somebody fills in the login page, and then agrees.
pub fn signs_in(browser: &mut Browser, login: &Page, who: &str) -> Result<Page> {
    let page = browser.submit(login, &[("login", who), ("password", "any")]);
    let consent = page.context("the login page")?;
    browser.submit(&consent, &[]).context("the page that asks for consent")
}
