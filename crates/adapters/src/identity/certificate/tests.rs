//! Certificates made here, of authorities made here: what counts, and what does not.

use std::sync::Arc;
use std::time::Duration;

use firsthand_model::identity::{Identity, IdentityKind, Trust};
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{ClientChain, IdentityError, Wants};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateRevocationListDer;

use super::authorities::{Authorities, ready};
use super::fault::Fault;
use super::spec::{Allow, ClientCa, Condition, Demand, Field, Named};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// 2026-11-18.
const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);

fn authority(name: &str) -> Ca {
    authority_until(name, 2040)
}

fn authority_params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&[(DnType::CommonName, name)]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params
}

fn authority_until(name: &str, year: i32) -> Ca {
    CertifiedIssuer::self_signed(authority_params(name, year), KeyPair::generate().unwrap()).unwrap()
}

fn named(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (what, value) in parts {
        name.push(what.clone(), *value);
    }
    name
}

/// A client's certificate that holds in 2026, before `change`.
fn issued(ca: &Ca, cn: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&[(DnType::CommonName, cn), (DnType::OrganizationalUnitName, "jobs")]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&[0x2a, 7]));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().to_vec()
}

fn list(ca: &Ca, serials: &[&[u8]], until: i32) -> CertificateRevocationListDer<'static> {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2026, 2, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().der().clone()
}

fn allow(when: &[&str], named: Named) -> Allow {
    Allow {
        when: when.iter().map(|text| Condition::parse(text).unwrap()).collect(),
        named,
        kind: IdentityKind::Service,
        owner: Some("platform".to_owned()),
        groups: vec!["jobs".to_owned()],
        targets: vec!["shop".to_owned()],
        roles: Vec::new(),
    }
}

fn spec(roots: &[&Ca], allow: Vec<Allow>) -> ClientCa {
    ClientCa {
        name: "mesh".to_owned(),
        ca: "ca.crt".into(),
        crl: Vec::new(),
        prefix: "mesh/".to_owned(),
        any_login: false,
        allow,
        roots: roots.iter().map(|ca| ca.der().clone()).collect(),
        lists: Vec::new(),
    }
}

fn by_cn() -> Vec<Allow> {
    vec![allow(&["cn = *"], Named::By(Field::Cn))]
}

fn of(specs: Vec<ClientCa>, demand: Demand) -> Authorities {
    let pseudonym = Arc::new(|kind: IdentityKind, name: &str| format!("{}-{name}", kind.word()));
    Authorities::new(ready(specs, demand).unwrap(), pseudonym)
}

fn shown(chain: &[&[u8]]) -> ClientChain {
    ClientChain(chain.iter().map(|der| der.to_vec()).collect())
}

fn look(specs: Vec<ClientCa>, chain: &[&[u8]]) -> Result<Identity, Fault> {
    of(specs, Demand::Optional).identify(&shown(chain), NOW)
}

#[test]
fn a_certificate_comes_to_what_its_rule_says() {
    let ca = authority("mesh");
    let cert = issued(&ca, "report", |_| {});
    let identity = look(vec![spec(&[&ca], by_cn())], &[&cert]).unwrap();
    let chain: Vec<_> = identity.chain.iter().map(|l| (l.kind, l.name.as_str(), l.trust)).collect();
    let certificate = identity.certificate.as_ref().unwrap();
    let print = format!("mesh/sha256:{}", &certificate.sha256[..16]);
    assert_eq!(
        chain,
        [
            (IdentityKind::Service, "mesh/report", Trust::Verified),
            (IdentityKind::Certificate, print.as_str(), Trust::Verified),
        ]
    );
    assert_eq!((identity.login.as_str(), identity.subject.as_str()), ("mesh/report", "service-mesh/report"));
    assert_eq!(
        (&identity.targets[..], &identity.groups[..]),
        (&["shop".to_owned()][..], &["mesh/jobs".to_owned()][..])
    );
    assert_eq!(identity.owner.as_deref(), Some("platform"));
    assert_eq!(certificate.serial, "2a07");
    assert_eq!(
        (certificate.issuer.as_str(), certificate.subject.as_str()),
        ("CN=mesh", "CN=report, OU=jobs")
    );
    assert_eq!(identity.expires, Some(certificate.ends));
    assert_eq!(identity.actor().map(|link| link.name.as_str()), Some("mesh/report"));
}

#[test]
fn names_come_from_the_field_that_is_named_and_from_no_other() {
    let ca = authority("mesh");
    let id = "spiffe://prod.acme.example/ns/agents/triage";
    let svid = issued(&ca, "x", |p| p.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())]);
    let rule = |when: &[&str], named| vec![spec(&[&ca], vec![allow(when, named)])];
    let own = rule(&["spiffe = spiffe://prod.acme.example/ns/agents/*"], Named::By(Field::Spiffe));
    assert_eq!(look(own, &[&svid]).unwrap().login, format!("mesh/{id}"));
    let fixed =
        rule(&["spiffe = spiffe://prod.acme.example/ns/*", "ou = jobs"], Named::As("triage".to_owned()));
    assert_eq!(look(fixed, &[&svid]).unwrap().login, "triage");
    for when in [
        "spiffe = spiffe://prod.acme.example/ns/web/*",
        "spiffe = spiffe://prod.acme.example",
        "cn = y",
        "dns = *",
    ] {
        assert_eq!(look(rule(&[when], Named::By(Field::Cn)), &[&svid]), Err(Fault::NoRule), "{when}");
    }
    let host = issued(&ca, "x", |p| {
        p.subject_alt_names = vec![
            SanType::DnsName("Report.Acme.Example".try_into().unwrap()),
            SanType::Rfc822Name("report@acme.example".try_into().unwrap()),
        ];
    });
    let dns = rule(&["dns = *.ACME.example"], Named::By(Field::Dns));
    assert_eq!(look(dns, &[&host]).unwrap().login, "mesh/report.acme.example");
    let mail = rule(&["email = *@acme.example"], Named::By(Field::Email));
    assert_eq!(look(mail, &[&host]).unwrap().login, "mesh/report@acme.example");
    assert_eq!(look(rule(&["cn = x"], Named::By(Field::Uri)), &[&host]), Err(Fault::Name), "it has none");
    let print = crate::identity::scram::sha256_hex(&host);
    let pinned = rule(&[&format!("sha256 = {print}")], Named::As("one".to_owned()));
    assert_eq!(look(pinned.clone(), &[&host]).unwrap().login, "one");
    assert_eq!(look(pinned, &[&svid]), Err(Fault::NoRule));
}

#[test]
fn what_does_not_hold_is_refused() {
    let (ca, other) = (authority("mesh"), authority("mesh"));
    let specs = || vec![spec(&[&ca], by_cn())];
    let mut between = authority_params("between", 2040);
    between.not_before = date_time_ymd(2021, 1, 1);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &ca).unwrap();
    let good = issued(&ca, "report", |_| {});
    let below = issued(&between, "report", |_| {});
    let middle = between.der().to_vec();
    assert!(look(specs(), &[&below, &middle]).is_ok());
    let eku = |p: &mut CertificateParams| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut spoiled = good.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let refused: &[(&str, &[&[u8]], Fault)] = &[
        ("another authority of the same name", &[&issued(&other, "report", |_| {})], Fault::Chain),
        ("a stranger", &[&issued(&authority("stranger"), "report", |_| {})], Fault::Authority),
        ("over", &[&issued(&ca, "report", |p| p.not_after = date_time_ymd(2026, 2, 1))], Fault::Expired),
        ("not yet", &[&issued(&ca, "report", |p| p.not_before = date_time_ymd(2026, 12, 1))], Fault::Early),
        ("a server's", &[&issued(&ca, "report", eku)], Fault::Purpose),
        ("without what is between", &[&below], Fault::Authority),
        ("what is between itself", &[&middle], Fault::Chain),
        ("the authority itself", &[ca.der().as_ref()], Fault::Chain),
        ("changed", &[&spoiled], Fault::Chain),
        ("no certificate", &[b"hello"], Fault::Form),
        ("none", &[], Fault::Missing),
        ("too many", &[&good[..]; 9], Fault::Size),
    ];
    for (what, chain, fault) in refused {
        assert_eq!(look(specs(), chain), Err(*fault), "{what}");
    }
    let old = authority_until("old", 2026);
    let of_old = issued(&old, "report", |_| {});
    assert_eq!(
        look(vec![spec(&[&old, &ca], by_cn())], &[&of_old]),
        Err(Fault::Expired),
        "its authority has ended"
    );
    assert!(look(vec![spec(&[&old, &ca], by_cn())], &[&good]).is_ok());
    let twice = vec![spec(&[&ca], by_cn()), ClientCa { name: "again".to_owned(), ..spec(&[&ca], by_cn()) }];
    assert_eq!(look(twice, &[&good]), Err(Fault::Authorities));
}

#[test]
fn names_that_are_patterns_or_not_what_they_look_like_name_nobody() {
    let ca = authority("mesh");
    let specs = || vec![spec(&[&ca], by_cn())];
    let uris = |all: &'static [&'static str]| {
        move |p: &mut CertificateParams| {
            p.subject_alt_names = all.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        }
    };
    for bad in [
        "*",
        "*.acme.example",
        "report\0",
        "report\0.evil.example",
        "re\u{202e}port",
        "re\u{200b}port",
        "a\nb",
    ] {
        assert_eq!(look(specs(), &[&issued(&ca, bad, |_| {})]), Err(Fault::Name), "{bad:?}");
    }
    let bare = || vec![ClientCa { prefix: String::new(), ..spec(&[&ca], by_cn()) }];
    for reserved in ["local:root", "Local:root", "channel:ops"] {
        assert_eq!(look(bare(), &[&issued(&ca, reserved, |_| {})]), Err(Fault::Reserved), "{reserved}");
        let named = vec![allow(&["cn = report"], Named::As(reserved.to_owned()))];
        assert_eq!(look(vec![spec(&[&ca], named)], &[&issued(&ca, "report", |_| {})]), Err(Fault::Reserved));
    }
    assert_eq!(look(bare(), &[&issued(&ca, "report ", |_| {})]), Err(Fault::Name), "a space at its end");
    let long = "n".repeat(250);
    assert!(look(specs(), &[&issued(&ca, &long, |_| {})]).is_ok());
    assert_eq!(look(specs(), &[&issued(&ca, &"n".repeat(252), |_| {})]), Err(Fault::Name), "with its prefix");
    let wild = |p: &mut CertificateParams| {
        p.subject_alt_names = vec![SanType::DnsName("*.acme.example".try_into().unwrap())];
    };
    assert_eq!(
        look(specs(), &[&issued(&ca, "report", wild)]),
        Err(Fault::Name),
        "a wildcard elsewhere in it"
    );
    for (bad, fault) in [
        (&["spiffe://prod/a", "spiffe://prod/b"][..], Fault::Spiffe),
        (&["spiffe://prod/a", "https://x.example"], Fault::Spiffe),
        (&["spiffe://prod/a/../b"], Fault::Spiffe),
        (&["SPIFFE://prod/a"], Fault::Spiffe),
    ] {
        assert_eq!(look(specs(), &[&issued(&ca, "report", uris(bad))]), Err(fault), "{bad:?}");
    }
}

#[test]
fn rules_that_fit_must_name_the_same() {
    let ca = authority("mesh");
    let cert = issued(&ca, "report", |_| {});
    let rules = |second: Allow| {
        vec![spec(&[&ca], vec![allow(&["cn = report"], Named::As("report".to_owned())), second])]
    };
    let same = Allow {
        targets: vec!["orders".to_owned()],
        owner: None,
        ..allow(&["ou = jobs"], Named::As("report".to_owned()))
    };
    assert_eq!(look(rules(same.clone()), &[&cert]).unwrap().targets, ["orders", "shop"]);
    for (what, other) in [
        ("name", Allow { named: Named::As("other".to_owned()), ..same.clone() }),
        ("name", Allow { named: Named::By(Field::Cn), ..same.clone() }),
        ("kind", Allow { kind: IdentityKind::Agent, ..same.clone() }),
        ("owner", Allow { owner: Some("others".to_owned()), ..same.clone() }),
    ] {
        assert_eq!(look(rules(other), &[&cert]), Err(Fault::Rules), "{what}");
    }
    let none = Allow { when: Vec::new(), ..same };
    assert_eq!(
        look(vec![spec(&[&ca], vec![none])], &[&cert]),
        Err(Fault::NoRule),
        "without a condition nobody is meant"
    );
}

#[test]
fn revoked_certificates_are_refused_and_lists_must_be_there_and_in_date() {
    let ca = authority("mesh");
    let between =
        CertifiedIssuer::signed_by(authority_params("between", 2040), KeyPair::generate().unwrap(), &ca)
            .unwrap();
    let cert = issued(&ca, "report", |_| {});
    let below = issued(&between, "report", |_| {});
    let with = |lists: Vec<_>| vec![ClientCa { lists, ..spec(&[&ca], by_cn()) }];
    assert!(look(with(vec![list(&ca, &[], 2030)]), &[&cert]).is_ok());
    assert!(look(with(vec![list(&ca, &[&[1, 2]], 2030)]), &[&cert]).is_ok());
    assert_eq!(look(with(vec![list(&ca, &[&[0x2a, 7]], 2030)]), &[&cert]), Err(Fault::Revoked));
    let chain: &[&[u8]] = &[&below, between.der().as_ref()];
    assert_eq!(
        look(with(vec![list(&ca, &[], 2030)]), chain),
        Err(Fault::Unlisted),
        "nothing says it of the one between"
    );
    assert!(look(with(vec![list(&ca, &[], 2030), list(&between, &[], 2030)]), chain).is_ok());
    let forged = list(&authority("mesh"), &[], 2030);
    assert!(look(with(vec![forged]), &[&cert]).is_err(), "a list that its authority has not signed");
}

#[test]
fn what_counts_no_longer_ends_who_was_let_in_by_it() {
    let ca = authority("mesh");
    let cert = issued(&ca, "report", |_| {});
    let first = spec(&[&ca], by_cn());
    let all = of(vec![first.clone()], Demand::Optional);
    let identity = all.identify(&shown(&[&cert]), NOW).unwrap();
    let certificate = identity.certificate.unwrap();
    let replaced = |specs: Vec<ClientCa>| {
        all.replace(ready(specs, Demand::Optional).unwrap());
        all.recheck(&certificate, NOW)
    };
    assert_eq!(all.recheck(&certificate, NOW), Ok(()));
    assert_eq!(
        replaced(vec![ClientCa { lists: vec![list(&ca, &[&[0x2a, 7]], 2030)], ..first.clone() }]),
        Err(Fault::Revoked.into())
    );
    assert_eq!(replaced(vec![first.clone()]), Ok(()), "the list is gone again");
    assert_eq!(replaced(Vec::new()), Err(Fault::Authority.into()));
    assert_eq!(replaced(vec![ClientCa { allow: Vec::new(), ..first.clone() }]), Err(Fault::NoRule.into()));
    let renamed = vec![allow(&["cn = report"], Named::As("somebody else".to_owned()))];
    assert_eq!(replaced(vec![ClientCa { allow: renamed, ..first.clone() }]), Err(Fault::Changed.into()));
    assert_eq!(replaced(vec![first]), Ok(()));
    assert_eq!(all.recheck(&certificate, certificate.ends), Err(IdentityError::Expired));
}

#[test]
fn the_login_name_says_whether_the_certificate_is_meant() {
    let ca = authority("mesh");
    let (cert, bad) = (issued(&ca, "report", |_| {}), issued(&ca, "*", |_| {}));
    let wants = |demand, any_login, login: Option<&str>, cert: Option<&[u8]>| {
        let all = of(vec![ClientCa { any_login, ..spec(&[&ca], by_cn()) }], demand);
        let chain = cert.map(|der| shown(&[der]));
        all.wants(login, chain.as_ref(), NOW)
    };
    use Demand::{Optional, Required, WithToken};
    let own = Some("mesh/report");
    for (demand, any, login, cert, expected) in [
        (Optional, false, own, Some(&cert), Wants::Certificate),
        (Optional, false, Some("mesh"), Some(&cert), Wants::Certificate),
        (Optional, false, Some("report"), Some(&cert), Wants::Token),
        (Optional, false, Some("bot"), Some(&cert), Wants::Token),
        (Optional, false, None, Some(&cert), Wants::Certificate),
        (Optional, true, Some("bot"), Some(&cert), Wants::Certificate),
        (Optional, false, own, None, Wants::Token),
        (Optional, false, None, None, Wants::Token),
        // Not accepted: refused, whoever logs in.
        (Optional, false, Some("bot"), Some(&bad), Wants::Certificate),
        (Required, false, own, Some(&cert), Wants::Certificate),
        (Required, false, own, None, Wants::Certificate),
        (Required, false, Some("bot"), Some(&cert), Wants::Certificate),
        (WithToken, false, own, Some(&cert), Wants::Both),
        (WithToken, false, own, None, Wants::Certificate),
        (WithToken, false, Some("bot"), Some(&bad), Wants::Certificate),
    ] {
        let cert = cert.map(Vec::as_slice);
        assert_eq!(
            wants(demand, any, login, cert),
            expected,
            "{demand:?} {any} {login:?} {}",
            cert.is_some()
        );
    }
    let alone = |demand, login: Option<&str>, chain: Option<&ClientChain>| {
        of(vec![spec(&[&ca], by_cn())], demand)
            .identify_alone(login, chain, NOW)
            .map(|identity| identity.login)
    };
    let chain = shown(&[&cert]);
    assert_eq!(alone(Required, own, Some(&chain)), Ok("mesh/report".to_owned()));
    assert_eq!(alone(Required, Some("bot"), Some(&chain)), Err(Fault::Login));
    assert_eq!(alone(Required, own, None), Err(Fault::Missing));
    assert_eq!(alone(WithToken, own, Some(&chain)), Err(Fault::Token), "what was asked for before a reload");
}

#[test]
fn what_was_found_is_remembered_for_a_while_only() {
    let ca = authority("mesh");
    let cert = issued(&ca, "report", |_| {});
    // The list ends within 2027-01-01; the certificate is given a longer life.
    let long = issued(&ca, "report", |p| p.not_after = date_time_ymd(2030, 1, 1));
    let all =
        of(vec![ClientCa { lists: vec![list(&ca, &[], 2027)], ..spec(&[&ca], by_cn()) }], Demand::Optional);
    let certificate = all.identify(&shown(&[&long]), NOW).unwrap().certificate.unwrap();
    let end = 1_798_761_600_000_000;
    let before = UnixMicros(end - 1_000_000);
    assert_eq!(all.recheck(&certificate, before), Ok(()));
    assert_eq!(all.recheck(&certificate, UnixMicros(end + 10_000_000)), Ok(()), "found out a moment ago");
    let after = UnixMicros(before.0 + u64::try_from(Duration::from_secs(31).as_micros()).unwrap());
    assert_eq!(all.recheck(&certificate, after), Err(Fault::StaleList.into()));
    assert!(all.identify(&shown(&[&cert]), before).is_ok());
}
