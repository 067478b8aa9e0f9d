//! What stands in a certificate. Names that could be read as something else than they are make it unfit as a whole.

use firsthand_model::time::UnixMicros;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::x509::X509Name;

use super::fault::Fault;
use super::spec::Field;
use crate::identity::scram::sha256_hex;
use crate::identity::visible::is_hidden;

/// Longest name in a certificate that is looked at.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Longest SPIFFE id (SPIFFE-ID 2.3).
const SPIFFE_BYTES_MAX: usize = 2048;
/// Names of one kind in a certificate: more are a list of hosts, and nobody's name.
const NAMES_MAX: usize = 32;
/// Longest name of an issuer or a subject that is kept.
const DN_BYTES_MAX: usize = 512;

const MICROS: u64 = 1_000_000;

/// What stands in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    cn: Vec<String>,
    o: Vec<String>,
    ou: Vec<String>,
    dns: Vec<String>,
    uri: Vec<String>,
    email: Vec<String>,
    spiffe: Vec<String>,
    sha256: Vec<String>,
    /// Its issuer's name.
    pub(super) issuer: String,
    /// Its subject's name.
    pub(super) subject: String,
    /// Its serial number, in hexadecimal.
    pub(super) serial: String,
    /// When it begins.
    pub(super) begins: UnixMicros,
    /// When it ends.
    pub(super) ends: UnixMicros,
}

impl Fields {
    /// Reads a certificate.
    pub(super) fn of(der: &[u8]) -> Result<Self, Fault> {
        let (rest, it) = x509_parser::parse_x509_certificate(der).map_err(|_| Fault::Form)?;
        if !rest.is_empty() {
            return Err(Fault::Form);
        }
        let name = &it.subject;
        let mut fields = Self {
            cn: texts(name, &x509_parser::oid_registry::OID_X509_COMMON_NAME)?,
            o: texts(name, &x509_parser::oid_registry::OID_X509_ORGANIZATION_NAME)?,
            ou: texts(name, &x509_parser::oid_registry::OID_X509_ORGANIZATIONAL_UNIT)?,
            sha256: vec![sha256_hex(der)],
            issuer: shown(&it.issuer),
            subject: shown(name),
            serial: it.tbs_certificate.raw_serial().iter().map(|b| format!("{b:02x}")).collect(),
            begins: moment(it.validity().not_before.timestamp()),
            ends: moment(it.validity().not_after.timestamp()),
            ..Self::default()
        };
        fields.alternatives(&it)?;
        fields.is_somebody()?;
        Ok(fields)
    }

    fn alternatives(&mut self, it: &X509Certificate<'_>) -> Result<(), Fault> {
        let Some(extension) = it.subject_alternative_name().map_err(|_| Fault::Form)? else { return Ok(()) };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => self.dns.push(name.to_ascii_lowercase()),
                GeneralName::URI(uri) => self.uri.push((*uri).to_owned()),
                GeneralName::RFC822Name(mail) => self.email.push((*mail).to_owned()),
                GeneralName::Invalid(..) => return Err(Fault::Form),
                _ => {}
            }
        }
        let of_spiffe = |uri: &&String| uri.get(..9).is_some_and(|s| s.eq_ignore_ascii_case("spiffe://"));
        if let Some(id) = self.uri.iter().find(of_spiffe) {
            // X509-SVID 2: exactly one URI.
            if self.uri.len() != 1 || !is_spiffe(id) {
                return Err(Fault::Spiffe);
            }
            self.spiffe.push(id.clone());
        }
        Ok(())
    }

    /// One common name at most; no name that is a pattern, or that is not what it looks like.
    fn is_somebody(&self) -> Result<(), Fault> {
        let lists = [&self.cn, &self.o, &self.ou, &self.dns, &self.uri, &self.email];
        let all = || lists.iter().flat_map(|list| list.iter());
        let long = |name: &&String| name.len() > NAME_BYTES_MAX.max(SPIFFE_BYTES_MAX) || name.is_empty();
        let unfit = self.cn.len() > 1
            || lists.iter().any(|list| list.len() > NAMES_MAX)
            || all().any(|name| long(&name) || name.chars().any(is_hidden))
            || [&self.cn, &self.dns, &self.uri, &self.email]
                .iter()
                .any(|l| l.iter().any(|n| n.contains('*')));
        if unfit { Err(Fault::Name) } else { Ok(()) }
    }

    /// What stands in a field.
    pub(super) fn get(&self, field: Field) -> &[String] {
        match field {
            Field::Cn => &self.cn,
            Field::O => &self.o,
            Field::Ou => &self.ou,
            Field::Dns => &self.dns,
            Field::Uri => &self.uri,
            Field::Email => &self.email,
            Field::Spiffe => &self.spiffe,
            Field::Sha256 => &self.sha256,
        }
    }

    /// SHA-256 of it, in hexadecimal.
    pub(super) fn fingerprint(&self) -> &str {
        self.sha256.first().map_or("", String::as_str)
    }
}

/// From when to when a certificate holds; `None`: it is none.
pub(super) fn validity(der: &[u8]) -> Option<(UnixMicros, UnixMicros)> {
    let (_, it) = x509_parser::parse_x509_certificate(der).ok()?;
    Some((moment(it.validity().not_before.timestamp()), moment(it.validity().not_after.timestamp())))
}

fn texts(name: &X509Name<'_>, oid: &Oid<'_>) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for attribute in name.iter_by_oid(oid) {
        all.push(attribute.as_str().map_err(|_| Fault::Form)?.to_owned());
    }
    Ok(all)
}

/// For people and the record.
fn shown(name: &X509Name<'_>) -> String {
    let text: String = name.to_string().chars().map(|c| if is_hidden(c) { '?' } else { c }).collect();
    let end = (0..=DN_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

fn moment(seconds: i64) -> UnixMicros {
    UnixMicros(u64::try_from(seconds).unwrap_or(0).saturating_mul(MICROS))
}

/// Whether it is a SPIFFE id with a path (SPIFFE-ID 2).
fn is_spiffe(id: &str) -> bool {
    let Some((domain, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let of_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(of_path);
    id.len() <= SPIFFE_BYTES_MAX
        && (1..=255).contains(&domain.len())
        && domain.bytes().all(of_domain)
        && path.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_has_a_domain_and_a_path_and_nothing_else() {
        for good in ["spiffe://prod.acme.example/ns/agents/triage", "spiffe://a/b", "spiffe://a/B-1_.x"] {
            assert!(is_spiffe(good), "{good}");
        }
        for bad in [
            "spiffe://prod.acme.example",
            "spiffe://prod.acme.example/",
            "spiffe:///x",
            "spiffe://Prod/x",
            "spiffe://prod/a//b",
            "spiffe://prod/a/../b",
            "spiffe://prod/a/./b",
            "spiffe://prod/a/",
            "spiffe://prod:443/a",
            "spiffe://u@prod/a",
            "spiffe://prod/a?b",
            "spiffe://prod/a#b",
            "spiffe://prod/%61",
            "SPIFFE://prod/a",
        ] {
            assert!(!is_spiffe(bad), "{bad}");
        }
    }
}
