//! `firsthand ca`: the gateway's own authority for client certificates. The private key of a certificate is made here, where the
//! command runs; the authority sees the public one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use firsthand_adapters::own_ca::Request;
use rcgen::KeyPair;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::contain::ask;
use super::output::{Output, columns};
use crate::ca::{self, Init, Revoke};
use crate::config;
use crate::failure::{Exit, Failure};
use crate::place::At;
use crate::remote::{Asked, strange};
use crate::show::clean;
use crate::who;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority, in the folder `ca` of the data folder; prints what to write in the configuration
    Init {
        /// Its name, as certificates have it
        #[arg(long, default_value = "firsthand")]
        name: String,
    },
    /// Issue a client certificate: writes NAME.crt and NAME.key
    Issue(IssueArgs),
    /// List what was issued
    List,
    /// Revoke certificates: nobody is let in by them, and the sessions that they opened end
    Revoke {
        /// A serial number, or the name in certificates, all of which are revoked
        certificate: String,
    },
    /// Print the revocation list, PEM
    Crl,
}

/// A certificate to be issued.
#[derive(Debug, clap::Args)]
pub(crate) struct IssueArgs {
    /// The name in it (common name): rules of [[client_ca]] say whom that names
    name: String,
    /// How long it holds, at most 90d
    #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = config::value::duration)]
    length: Duration,
    /// Where its files are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// A URI in it, such as spiffe://prod.acme.example/ns/agents/triage; repeat for more
    #[arg(long = "uri", value_name = "URI")]
    uri: Vec<String>,
    /// A DNS name in it; repeat for more
    #[arg(long = "dns", value_name = "NAME")]
    dns: Vec<String>,
    /// A mail address in it; repeat for more
    #[arg(long = "email", value_name = "ADDRESS")]
    email: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(command: CaCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        CaCommand::Init { name } => init(&Init { name }, at, out),
        CaCommand::Issue(args) => issue(args, at, out),
        CaCommand::List => list(at, out),
        CaCommand::Revoke { certificate } => revoke(&Revoke { certificate }, at, out),
        CaCommand::Crl => crl(at, out),
    }
}

fn text(of: &Value, key: &str) -> String {
    clean::line(of.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned()
}

fn init(how: &Init, at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("POST", "/v1/ca", &json!(how));
    let answer = ask(at, "ca init", there, async |desk, place| {
        ca::init(desk, &place.data_dir, how, &who::own(&desk.keys)).await
    })?;
    out.show(&answer, || {
        format!(
            "made {} until {}\n\n[[client_ca]]\nname = \"{0}\"\nca   = {:?}\ncrl  = [{:?}]\n\n[[client_ca.allow]]\nwhen      = [\"cn = NAME\"]\n\
             name_from = \"cn\"\nkind      = \"service\"\ntargets   = [\"TARGET\"]",
            text(&answer, "name"),
            text(&answer, "ends"),
            text(&answer, "ca_file"),
            text(&answer, "crl_file"),
        )
    });
    out.talk(
        "note: write this in the configuration, with the names that are meant, and send the gateway SIGHUP",
    );
    Ok(Exit::Done)
}

fn issue(args: IssueArgs, at: &At, out: &Output) -> Result<Exit, Failure> {
    let file = |end: &str| args.out.join(format!("{}.{end}", file_name(&args.name)));
    let (cert_file, key_file) = (file("crt"), file("key"));
    if let Some(there) = [&key_file, &cert_file].into_iter().find(|file| file.exists()) {
        return Err(Failure::new(
            format!("{} is there already, and may be in use", there.display()),
            "name another folder with --out, or move it away",
        ));
    }
    let no_key = |e: rcgen::Error| Failure::new(format!("no key can be made: {e}"), "try again");
    let key = KeyPair::generate().map_err(no_key)?;
    let request = Request {
        name: args.name.clone(),
        uri: args.uri,
        dns: args.dns,
        email: args.email,
        seconds: args.length.as_secs(),
        public_key: STANDARD.encode(key.public_key_raw()),
    };
    let there = |client: &dyn Asked| client.asked("POST", "/v1/ca/certificates", &json!(request));
    let mut answer = ask(at, "ca issue", there, async |desk, place| {
        ca::issue(desk, &place.data_dir, &request, &who::own(&desk.keys)).await
    })?;
    let cert = answer.get("cert").and_then(Value::as_str).map(str::to_owned).ok_or_else(strange)?;
    let secret = Zeroizing::new(key.serialize_pem());
    write(&key_file, secret.as_bytes())?;
    write(&cert_file, cert.as_bytes())?;
    if let Some(facts) = answer.as_object_mut() {
        for (name, file) in [("cert", &cert_file), ("key", &key_file)] {
            facts.insert(name.to_owned(), json!(file));
        }
    }
    out.show(&answer, || {
        format!(
            "serial  {}\nends    {}\ncert    {}\nkey     {}",
            text(&answer, "serial"),
            text(&answer, "ends"),
            cert_file.display(),
            key_file.display(),
        )
    });
    Ok(Exit::Done)
}

/// A name as a file's: what could lead elsewhere is replaced.
fn file_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@') || c == '.';
    let made: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    match made.trim_start_matches('.') {
        "" => "client".to_owned(),
        name => name.to_owned(),
    }
}

/// Replaces a file whole, for its owner alone.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let new = file.with_extension("new");
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&new);
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    written().map_err(|e| {
        let hint =
            "the certificate was issued: revoke it (firsthand ca list), and issue another with --out DIR";
        Failure::new(format!("cannot write {}: {e}", file.display()), hint)
    })
}

fn list(at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("GET", "/v1/ca/certificates", &Value::Null);
    let mut answer = ask(at, "ca list", there, async |_, place| {
        Ok(json!({ "certificates": ca::list(&place.data_dir)? }))
    })?;
    let Some(Value::Array(all)) = answer.get_mut("certificates").map(Value::take) else {
        return Err(strange());
    };
    if out.is_json() {
        all.iter().for_each(|one| out.text(&clean::json(&one.to_string())));
        return Ok(Exit::Done);
    }
    let keys = ["serial", "name", "state", "since", "ends"];
    let lines: Vec<Vec<String>> =
        all.iter().map(|one| keys.iter().map(|key| text(one, key)).collect()).collect();
    out.text(&columns(&["SERIAL", "NAME", "STATE", "SINCE", "ENDS"], &lines));
    Ok(Exit::Done)
}

fn revoke(what: &Revoke, at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("POST", "/v1/ca/certificates/revoke", &json!(what));
    let answer = ask(at, "ca revoke", there, async |desk, place| {
        ca::revoke(desk, &place.data_dir, None, what, &who::own(&desk.keys)).await
    })?;
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        out.talk(&format!("warning: {}", clean::line(warning.as_str().unwrap_or_default())));
    }
    out.show(&answer, || {
        let all = answer.get("revoked").and_then(Value::as_array).into_iter().flatten();
        let lines: Vec<_> =
            all.map(|one| format!("revoked {} ({})", text(one, "serial"), text(one, "name"))).collect();
        lines.join("\n")
    });
    Ok(Exit::Done)
}

fn crl(at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("GET", "/v1/ca/crl", &Value::Null);
    let answer = ask(at, "ca crl", there, async |_, place| ca::crl(&place.data_dir))?;
    let Some(crl) = answer.get("crl").and_then(Value::as_str) else { return Err(strange()) };
    out.show(&answer, || clean::block(crl.trim_end()).into_owned());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_folder() {
        for (name, file) in [
            ("report", "report"),
            ("../../etc/x", "_.._etc_x"),
            ("ada@example.com", "ada@example.com"),
            ("a b", "a_b"),
            ("..", "client"),
        ] {
            assert_eq!(file_name(name), file, "{name}");
        }
    }
}
