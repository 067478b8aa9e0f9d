//! What a person does with a browser: follows links, keeps cookies, fills in forms. Over HTTP without TLS, on this machine.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::process::PATIENCE;

/// Redirections in a row before it is a circle.
const REDIRECTIONS_MAX: usize = 20;

/// A browser of one person.
#[derive(Debug, Default)]
pub struct Browser {
    /// By host and port, as no browser does it: here each server is one of its own.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Headers that it sends with everything, each with its line end.
    pub headers: String,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it came from.
    pub url: String,
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Page {
    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// A header's values.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Browser {
    /// Goes somewhere, and on where that leads.
    pub fn open(&mut self, url: &str) -> Result<Page> {
        let page = self.ask("GET", url, "", None)?;
        self.follow(page)
    }

    /// Goes somewhere, and stays there.
    pub fn get(&mut self, url: &str) -> Result<Page> {
        self.ask("GET", url, "", None)
    }

    /// Sends the first form of a page with these fields besides its hidden ones, and goes on where that leads.
    pub fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Result<Page> {
        let form = page.body.split_once("<form").with_context(|| format!("no form:\n{}", page.body))?.1;
        let form = form.split_once("</form>").map_or(form, |(form, _)| form);
        let action = attribute(form, "action").context("a form without action")?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for input in form.split("<input").skip(1) {
            if attribute(input, "type").as_deref() == Some("hidden") {
                let name = attribute(input, "name").context("a field without name")?;
                pairs.push((name, attribute(input, "value").unwrap_or_default()));
            }
        }
        for (name, value) in fields {
            pairs.retain(|(own, _)| own != name);
            pairs.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body: Vec<_> = pairs.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect();
        let page = self.ask("POST", &action, "application/x-www-form-urlencoded", Some(&body.join("&")))?;
        self.follow(page)
    }

    /// Goes on where a page leads.
    pub fn follow(&mut self, mut page: Page) -> Result<Page> {
        for _ in 0..REDIRECTIONS_MAX {
            let Some(to) = page.header("location").map(str::to_owned) else { return Ok(page) };
            let to = if to.starts_with('/') { format!("http://{}{to}", place(&page.url)?.0) } else { to };
            page = self.ask("GET", &to, "", None)?;
        }
        bail!("it leads in a circle: {}", page.url)
    }

    /// Sends a request.
    pub fn ask(&mut self, method: &str, url: &str, kind: &str, body: Option<&str>) -> Result<Page> {
        let (host, path) = place(url)?;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}", self.headers);
        let jar = self.cookies.entry(host.to_owned()).or_default();
        if !jar.is_empty() {
            let all: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", all.join("; ")));
        }
        if let Some(body) = body {
            head.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        let page = Page { url: url.to_owned(), status, head: head.to_owned(), body: unchunked(head, body) };
        for cookie in page.headers("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if value.is_empty() || cookie.to_ascii_lowercase().contains("max-age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(page)
    }

    /// Cookies for a host and port.
    #[must_use]
    pub fn cookies(&self, host: &str) -> BTreeMap<String, String> {
        self.cookies.get(host).cloned().unwrap_or_default()
    }
}

/// Host and port, and path, of a URL.
fn place(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("not http: {url}"))?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    Ok((host, if path.is_empty() { "/" } else { path }))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}

fn unchunked(head: &str, body: &str) -> String {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(piece) = behind.get(..size).filter(|_| size > 0) else { break };
        whole.push_str(piece);
        rest = behind.get(size + 2..).unwrap_or_default();
    }
    whole
}

/// As in a form or a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
