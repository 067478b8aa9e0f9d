//! `[[client_ca]]`: the authorities behind client certificates, and whom those name.

use std::path::Path;

use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::certificate::authorities::{Life, life, ready};
use firsthand_adapters::identity::certificate::spec::{
    Allow, ClientCa, Condition, Demand, Field, Named, read_lists, read_roots,
};
use firsthand_adapters::identity::issuer::spec::IssuerSpec;
use firsthand_adapters::identity::token;
use firsthand_adapters::identity::visible::is_reserved;
use firsthand_model::identity::{IdentityKind, Role};

use super::issuer::read_prefix;
use super::keys::{Form, Key, key};
use super::section::{At, Section, nearest};

/// The sections.
pub(super) const SECTIONS: [(&str, &str); 2] = [
    (
        "client_ca",
        "`[[client_ca]]`: authorities whose certificates clients may show in TLS, and whom those name (see identity.md); one table each.",
    ),
    (
        "client_ca.allow",
        "`[[client_ca.allow]]`: whom a certificate names, and what it opens. It gets all that the rules give which fit it; where none fits, or \
         where they name different identities, it is refused.",
    ),
];

/// The keys.
pub(super) const KEYS: &[Key] = &[
    key(
        "",
        "client_ca",
        Form::Tables("client_ca"),
        "none: clients are not asked for certificates",
        "The authorities behind client certificates, and whom those name.",
    ),
    key(
        "listen",
        "client_certificate",
        Form::Choice(&["optional", "required", "with-token"]),
        "`optional`",
        "Which certificate clients must show, where there is a `[[client_ca]]`. `optional`: a certificate or a token. `required`: a certificate. \
         `with-token`: a certificate, and a token of the same identity.",
    ),
    key(
        "client_ca",
        "name",
        Form::Text,
        "",
        "What they are called here. Clients may log in with it as the user name.",
    ),
    key("client_ca", "ca", Form::Path, "", "The authorities, PEM."),
    key(
        "client_ca",
        "crl",
        Form::Texts,
        "none: nothing is looked up",
        "Files of revocation lists, PEM. With any, each certificate between the client's and the authority must be on the authority of a list \
         that is in date.",
    ),
    key(
        "client_ca",
        "prefix",
        Form::Text,
        "`NAME/`",
        "Stands before each name that comes out of a certificate (`name_from`).",
    ),
    key(
        "client_ca",
        "login",
        Form::Choice(&["any", "name"]),
        "`name`",
        "`name`: a certificate is the proof of who logs in with the name that it comes to, or with the authority's name; who logs in with another \
         name is asked for the token of that name. `any`: it is the proof whatever the login name is.",
    ),
    key("client_ca", "allow", Form::Tables("client_ca.allow"), "", "Whom their certificates name."),
    key(
        "client_ca.allow",
        "when",
        Form::Texts,
        "",
        "`field = pattern` each, and all must hold; `*` stands for any number of characters. Fields: `cn`, `o`, `ou` of the subject; `dns`, `uri`, \
         `email` of the subject's alternative names; `spiffe`, the only URI, where it is a SPIFFE id; `sha256`, of the certificate. Of several, one \
         must fit.",
    ),
    key(
        "client_ca.allow",
        "name",
        Form::Text,
        "required without `name_from`",
        "The name of the identity, as it is.",
    ),
    key(
        "client_ca.allow",
        "name_from",
        Form::Choice(&["cn", "dns", "uri", "email", "spiffe"]),
        "required without `name`",
        "The field that is the name, behind `prefix`. A certificate in which it does not stand, or stands more than once, is refused.",
    ),
    key("client_ca.allow", "kind", Form::Choice(&["human", "agent", "service"]), "", "Whom they name."),
    key("client_ca.allow", "owner", Form::Text, "none", "The team or person that answers for it."),
    key("client_ca.allow", "groups", Form::Texts, "none", "Groups it is in; for rules each is `NAME/GROUP`."),
    key("client_ca.allow", "targets", Form::Texts, "none", "Targets that it may reach."),
    key(
        "client_ca.allow",
        "roles",
        Form::Texts,
        "none",
        "What it may do at the gateway itself: `admin`, `auditor`, `approver`, `user` (api.md).",
    ),
];

/// Reads all of them. `targets` are the names that there are; `with_tls`: certificates can be shown at all.
pub(super) fn read(
    top: &Section<'_>,
    folder: &Path,
    targets: &[&str],
    issuers: &[IssuerSpec],
    with_tls: bool,
) -> Vec<ClientCa> {
    let mut all: Vec<ClientCa> = Vec::new();
    for section in top.tables("client_ca", "client_ca") {
        if !with_tls {
            let hint = "add tls = { cert = …, key = … } to [listen]";
            section.bad(
                &section.span,
                "ca",
                "certificates are shown in TLS, and there is no listen.tls",
                hint,
            );
        }
        let Some(ca) = read_one(&section, folder, targets) else { continue };
        if all.iter().any(|other| other.name == ca.name) || issuers.iter().any(|i| i.name == ca.name) {
            let what = format!("there is an issuer or a client_ca `{}` already", ca.name);
            section.bad(&section.span, "name", what, "give each a name of its own");
        }
        if all.iter().any(|other| other.roots.iter().any(|root| ca.roots.contains(root))) {
            let what = "an authority in it stands in another [[client_ca]], too";
            section.bad(&section.span, "ca", what, "put their rules ([[client_ca.allow]]) together");
        }
        all.push(ca);
    }
    all
}

/// Reads which certificates clients must show.
pub(super) fn read_demand(listen: &Section<'_>, cas: &[ClientCa]) -> Demand {
    let written = listen.choice("client_certificate");
    let demand = match written.as_ref().map(|w| w.value) {
        Some("required") => Demand::Required,
        Some("with-token") => Demand::WithToken,
        _ => Demand::Optional,
    };
    if let Some(at) = written.as_ref().filter(|_| demand != Demand::Optional && cas.is_empty()) {
        let hint = "add a [[client_ca]], or leave client_certificate out";
        listen.bad(&at.span, "client_certificate", "nobody could get in: no certificate counts", hint);
    }
    if let Some(at) = written {
        listen.came_to("client_certificate", Some(&at.span), at.value);
    }
    demand
}

/// Reads everything of one, so that all its problems are found; `None` when something it needs is missing.
fn read_one(section: &Section<'_>, folder: &Path, targets: &[&str]) -> Option<ClientCa> {
    let name = section.required_text("name");
    if let Some(At { value, span }) = &name
        && !token::is_name(value)
    {
        let what = format!("`{}` is not fit for a name", value.escape_debug());
        let hint = "use up to 63 letters, digits, `-`, `_` and `.`: clients may log in with it";
        section.bad(span, "name", what, hint);
    }
    let ca = section.path_in("ca", folder);
    if section.span_of("ca").is_none() {
        section.missing("ca");
    }
    let roots = ca.as_ref().and_then(|ca| read_authorities(section, ca));
    let crl: Vec<_> = section.texts("crl").iter().map(|file| folder.join(file)).collect();
    let mut lists = Vec::new();
    if let Some(at) = section.span_of("crl") {
        for file in &crl {
            match read_lists(file) {
                Ok(read) => lists.extend(read),
                Err(why) => {
                    let what = format!("{}: {why}", file.display());
                    section.bad(&at, "crl", what, "give a PEM file with the authority's revocation list");
                }
            }
        }
    }
    let prefix = read_prefix(
        section,
        name.as_ref(),
        "names in its certificates stand beside those of tokens and of issuers",
    );
    let login = section.choice("login");
    let any_login = login.as_ref().is_some_and(|login| login.value == "any");
    section.came_to("login", login.as_ref().map(|l| &l.span), if any_login { "any" } else { "name" });
    let allow = read_rules(section, targets);
    let (name, ca, roots) = (name?.value, ca?, roots?);
    let (span, ca) = (ca.span, ca.value);
    let read = ClientCa { name, ca, crl, prefix, any_login, allow, roots, lists };
    if let Err(why) = ready(vec![read.clone()], Demand::Optional) {
        section.bad(&span, "ca", why, "give PEM files of authorities, and of their revocation lists");
    }
    Some(read)
}

/// Reads the authorities and says how long they hold.
fn read_authorities(
    section: &Section<'_>,
    ca: &At<std::path::PathBuf>,
) -> Option<Vec<rustls_pki_types::CertificateDer<'static>>> {
    section.came_to("ca", Some(&ca.span), ca.value.display().to_string());
    let bad = |why: &str, hint: &str| {
        section.bad(&ca.span, "ca", format!("{}: {why}", ca.value.display()), hint);
    };
    let roots = match read_roots(&ca.value) {
        Ok(roots) => roots,
        Err(why) => {
            bad(&why, "give a PEM file with the authority's certificate");
            return None;
        }
    };
    let over = roots.iter().filter(|root| life(root, wall()) == Life::Over).count();
    let not_yet = roots.iter().filter(|root| life(root, wall()) == Life::NotYet).count();
    if over == roots.len() {
        bad(
            "the authority has expired: none of its certificates counts",
            "give the one that has come after it",
        );
    } else if over + not_yet > 0 {
        let what = format!(
            "{}: {over} of its {} authorities have expired, and {not_yet} are not valid yet: their certificates do not count",
            section.path("ca"),
            roots.len()
        );
        section.warn(Some(&ca.span), what);
    }
    Some(roots)
}

fn read_rules(section: &Section<'_>, targets: &[&str]) -> Vec<Allow> {
    let sections = section.tables("allow", "client_ca.allow");
    if sections.is_empty() && section.span_of("allow").is_none() {
        section.missing("allow");
    }
    sections.iter().filter_map(|rule| read_rule(rule, targets)).collect()
}

fn read_rule(section: &Section<'_>, targets: &[&str]) -> Option<Allow> {
    let when = read_when(section);
    let named = read_named(section, &when);
    let kind = section.choice("kind");
    if section.span_of("kind").is_none() {
        section.missing("kind");
    }
    let owner = section.text("owner").filter(|owner| !owner.value.is_empty());
    if let Some(owner) = &owner {
        is_not_reserved(section, "owner", owner);
    }
    let owner = owner.map(|owner| owner.value);
    let groups = section.texts("groups");
    let known = section.texts("targets");
    if let Some(at) = section.span_of("targets") {
        for name in known.iter().filter(|name| !targets.contains(&name.as_str())) {
            section.bad(&at, "targets", format!("there is no target `{name}`"), nearest(name, targets));
        }
    }
    let roles = read_roles(section);
    if known.is_empty() && roles.is_empty() {
        section.bad(&section.span, "targets", "the rule opens nothing", "name targets, or roles");
    }
    let kind = kind.and_then(|kind| IdentityKind::parse(kind.value))?;
    Some(Allow { when, named: named?, kind, owner, groups, targets: known, roles })
}

fn read_when(section: &Section<'_>) -> Vec<Condition> {
    let mut when = Vec::new();
    let written = section.texts("when");
    let Some(at) = section.span_of("when") else {
        section.missing("when");
        return when;
    };
    for text in &written {
        match Condition::parse(text) {
            Some(condition) => when.push(condition),
            None => {
                let known = Field::ALL.map(Field::word).join(", ");
                let hint = format!("write `field = pattern`, such as `cn = report`; fields: {known}");
                section.bad(&at, "when", format!("`{text}` is no condition"), hint);
            }
        }
    }
    if written.is_empty() {
        let hint =
            "say which certificates it is for, such as `cn = report` or `spiffe = spiffe://prod/ns/agents/*`";
        section.bad(&at, "when", "is empty", hint);
    }
    when
}

/// Says so where a name is one that only the gateway gives.
fn is_not_reserved(section: &Section<'_>, key: &str, name: &At<String>) {
    if is_reserved(&name.value) {
        let what = "begins with local: or channel:, as the names of this machine's users and channels do";
        section.bad(&name.span, key, what, "write the name of the identity");
    }
}

/// Where the name comes from. A name that stands in the rule is one identity: it must not be everybody's.
fn read_named(section: &Section<'_>, when: &[Condition]) -> Option<Named> {
    let everybody = !when.is_empty() && when.iter().all(Condition::is_all);
    match (section.text("name"), section.choice("name_from")) {
        (Some(name), None) => {
            if name.value.is_empty() || name.value.chars().any(char::is_control) {
                section.bad(&name.span, "name", "is no name", "write the name of the identity");
            }
            is_not_reserved(section, "name", &name);
            if everybody && let Some(at) = section.span_of("when") {
                let what = "every certificate of the authority fits, and all of them would be one identity";
                section.bad(
                    &at,
                    "when",
                    what,
                    "name the certificate, such as `cn = report`, or use name_from",
                );
            }
            Some(Named::As(name.value))
        }
        (None, Some(field)) => {
            if everybody && let Some(at) = section.span_of("when") {
                let what = format!("{}: every certificate of the authority fits", section.path("when"));
                section.warn(Some(&at), what);
            }
            Field::parse(field.value).map(Named::By)
        }
        (Some(_), Some(field)) => {
            section.bad(&field.span, "name_from", "stands beside `name`", "keep one of them");
            None
        }
        (None, None) => {
            if section.span_of("name").is_none() && section.span_of("name_from").is_none() {
                section.missing("name");
            }
            None
        }
    }
}

fn read_roles(section: &Section<'_>) -> Vec<Role> {
    let known = Role::ALL.map(Role::word);
    let mut roles = Vec::new();
    for word in section.texts("roles") {
        match (Role::parse(&word), section.span_of("roles")) {
            (Some(role), _) => roles.push(role),
            (None, Some(at)) => {
                section.bad(&at, "roles", format!("`{word}` is no role"), nearest(&word, &known));
            }
            (None, None) => {}
        }
    }
    roles
}
