//! From what stands in a certificate to an identity, by the rules of its authority. Pure: it has been verified before.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest as sha256};
use firsthand_model::identity::{Certificate, Identity, IdentityKind, Link, Trust};

use super::fault::Fault;
use super::fields::{Fields, NAME_BYTES_MAX};
use super::spec::{Allow, ClientCa, Condition, Named};
use crate::identity::issuer::spec::matches;
use crate::identity::token::Pseudonym;
use crate::identity::visible::{is_reserved, is_visible};

/// A fingerprint names a certificate in the record.
const FINGERPRINT_CHARS: usize = 16;

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) kind: IdentityKind,
    pub(super) name: String,
    owner: Option<String>,
}

/// Whom it names, and the rules that say so.
pub(super) fn holder<'a>(ca: &'a ClientCa, fields: &Fields) -> Result<(Holder, Vec<&'a Allow>), Fault> {
    let fitting: Vec<&Allow> = ca.allow.iter().filter(|rule| fits(rule, fields)).collect();
    let mut found: Option<Holder> = None;
    for rule in &fitting {
        let one = Holder { kind: rule.kind, name: name(ca, rule, fields)?, owner: rule.owner.clone() };
        found = Some(match found {
            None => one,
            Some(before) => together(before, one)?,
        });
    }
    Ok((found.ok_or(Fault::NoRule)?, fitting))
}

/// What two rules say of one certificate: the same, or it is nobody.
fn together(a: Holder, b: Holder) -> Result<Holder, Fault> {
    let same_owner = a.owner.is_none() || b.owner.is_none() || a.owner == b.owner;
    if a.kind != b.kind || a.name != b.name || !same_owner {
        return Err(Fault::Rules);
    }
    Ok(Holder { owner: a.owner.or(b.owner), ..b })
}

fn fits(rule: &Allow, fields: &Fields) -> bool {
    let holds = |c: &Condition| fields.get(c.field).iter().any(|value| matches(&c.pattern, value));
    !rule.when.is_empty() && rule.when.iter().all(holds)
}

fn name(ca: &ClientCa, rule: &Allow, fields: &Fields) -> Result<String, Fault> {
    let name = match &rule.named {
        Named::As(name) => name.clone(),
        // Of several nobody can say which is meant.
        Named::By(field) => match fields.get(*field) {
            [one] => format!("{}{one}", ca.prefix),
            _ => return Err(Fault::Name),
        },
    };
    match is_reserved(&name) {
        true => Err(Fault::Reserved),
        false if !is_visible(&name) || name.len() > NAME_BYTES_MAX => Err(Fault::Name),
        false => Ok(name),
    }
}

/// The identity, with the certificate as the link that proves it.
pub(super) fn identity(
    ca: &ClientCa,
    fields: &Fields,
    (chain, digest): (&Arc<[Vec<u8>]>, [u8; 32]),
    pseudonym: &Pseudonym,
) -> Result<Identity, Fault> {
    let (Holder { kind, name, owner }, fitting) = holder(ca, fields)?;
    let print = fields.fingerprint().get(..FINGERPRINT_CHARS).unwrap_or_default();
    let shown = format!("{}/sha256:{print}", ca.name);
    let link = |kind, name: String| Link { kind, id: pseudonym(kind, &name), name, trust: Trust::Verified };
    let links = vec![link(kind, name.clone()), link(IdentityKind::Certificate, shown)];
    let mut identity = Identity {
        login: name.clone(),
        subject: links.first().map(|link| link.id.clone()).unwrap_or_default(),
        chain: links,
        expires: Some(fields.ends),
        owner,
        ..Identity::default()
    };
    for rule in fitting {
        identity.targets.extend(rule.targets.iter().cloned());
        identity.groups.extend(rule.groups.iter().map(|group| format!("{}/{group}", ca.name)));
        identity.roles.extend(&rule.roles);
    }
    let identity = identity.settled();
    let certificate = Certificate {
        ca: ca.name.clone(),
        issuer: fields.issuer.clone(),
        serial: fields.serial.clone(),
        subject: fields.subject.clone(),
        sha256: fields.fingerprint().to_owned(),
        ends: fields.ends,
        kind,
        name,
        chain: Arc::clone(chain),
        digest,
        gives: given(&identity),
    };
    Ok(Identity { certificate: Some(Arc::new(certificate)), ..identity })
}

/// Tells apart what the rules give: to whom, and what.
fn given(identity: &Identity) -> [u8; 32] {
    let all = (&identity.chain, &identity.owner, &identity.targets, &identity.groups, &identity.roles);
    let mut out = [0; 32];
    out.copy_from_slice(sha256(&SHA256, format!("{all:?}").as_bytes()).as_ref());
    out
}
