//! A rule in TOML and the Cedar policy that it becomes say the same: whatever the rule and whoever asks for whatever, the
//! decision is what reading the rule's own words would give.

use std::collections::HashMap;

use firsthand_policy::cases;
use firsthand_policy::compiled::{Compiled, RuleFile};
use firsthand_policy::pattern::Pattern;
use firsthand_policy::rules::Rules;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const KINDS: &[&str] = &["agent", "human", "service"];
const NAMES: &[&str] = &["bot", "bot-2", "ada"];
const PATTERNS: &[&str] = &["bot", "bot*", "*", "ada"];
const EFFECTS: &[&str] = &["read", "write", "define", "session", "unknown"];
const TABLES: &[&str] = &["public.a", "public.b", "evil.a"];
const TABLE_PATTERNS: &[&str] = &["public.a", "public.*", "a", "*.*"];
const SETTINGS: &[&str] = &["role=x", "timezone=utc", "timezone"];
const SETTING_PATTERNS: &[&str] = &["role", "timezone=utc", "time*", "*"];

#[derive(Clone, Debug)]
struct Written {
    verdict: &'static str,
    kinds: Vec<&'static str>,
    identities: Vec<&'static str>,
    effects: Vec<&'static str>,
    tables: Vec<&'static str>,
    settings: Vec<&'static str>,
    unbounded: Option<bool>,
    unless: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Asked {
    kind: &'static str,
    name: &'static str,
    effects: Vec<&'static str>,
    reads: Vec<&'static str>,
    writes: Vec<&'static str>,
    settings: Vec<&'static str>,
    unbounded: bool,
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of, 0..=of.len())
}

fn written() -> impl Strategy<Value = Written> {
    let what = prop_oneof![
        Just((vec![], vec![])),
        some(TABLE_PATTERNS).prop_map(|t| (t, vec![])),
        some(SETTING_PATTERNS).prop_map(|s| (vec![], s)),
    ];
    let verdict = select(&["allow", "deny", "hold"][..]);
    (verdict, some(KINDS), some(PATTERNS), some(EFFECTS), what, any::<Option<bool>>(), some(KINDS)).prop_map(
        |(verdict, kinds, identities, mut effects, (tables, settings), unbounded, unless)| {
            // A rule about tables that names only effects which touch none is refused when it is read.
            if !tables.is_empty() && !effects.is_empty() && !effects.contains(&"read") {
                effects.push("read");
            }
            if !settings.is_empty() && !effects.is_empty() && !effects.contains(&"session") {
                effects.push("session");
            }
            Written { verdict, kinds, identities, effects, tables, settings, unbounded, unless }
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    let who = (select(KINDS), select(NAMES));
    (who, some(EFFECTS), some(TABLES), some(TABLES), some(SETTINGS), any::<bool>()).prop_map(
        |((kind, name), effects, reads, writes, settings, unbounded)| Asked {
            kind,
            name,
            effects,
            reads,
            writes,
            settings,
            unbounded,
        },
    )
}

fn list(key: &str, values: &[&str], out: &mut String) {
    if !values.is_empty() {
        out.push_str(&format!("{key} = {values:?}\n"));
    }
}

fn text(rule: &Written, asked: &Asked) -> String {
    let mut out = String::from(
        "[defaults]\nhuman = \"deny\"\nservice = \"deny\"\n[[rule]]\nname = \"r\"\nbecause = \"B.\"\n",
    );
    out.push_str(&format!("verdict = \"{}\"\n", rule.verdict));
    list("kinds", &rule.kinds, &mut out);
    list("identities", &rule.identities, &mut out);
    list("effects", &rule.effects, &mut out);
    list("tables", &rule.tables, &mut out);
    list("settings", &rule.settings, &mut out);
    if let Some(unbounded) = rule.unbounded {
        out.push_str(&format!("unbounded = {unbounded}\n"));
    }
    if rule.verdict == "hold" {
        out.push_str("approve = { group = \"dba\" }\n");
    }
    if !rule.unless.is_empty() {
        out.push_str("[rule.unless]\n");
        list("kinds", &rule.unless, &mut out);
    }
    out.push_str("[[test]]\nverdict = \"allow\"\n");
    out.push_str(&format!(
        "kind = \"{}\"\nas = \"{}\"\nunbounded = {}\n",
        asked.kind, asked.name, asked.unbounded
    ));
    list("effects", &asked.effects, &mut out);
    list("reads", &asked.reads, &mut out);
    list("writes", &asked.writes, &mut out);
    list("settings", &asked.settings, &mut out);
    out
}

/// One question: an effect, and a relation or a setting or neither.
type Single = (&'static str, Option<&'static str>, Option<&'static str>);

fn questions(asked: &Asked) -> Vec<Single> {
    let mut all = Vec::new();
    for effect in &asked.effects {
        let tables: &[&str] = match *effect {
            "read" => &asked.reads,
            "write" | "define" => &asked.writes,
            _ => &[],
        };
        all.extend(tables.iter().map(|t| (*effect, Some(*t), None)));
        let settings: &[&str] = if *effect == "session" { &asked.settings } else { &[] };
        all.extend(settings.iter().map(|s| (*effect, None, Some(*s))));
        if tables.is_empty() && settings.is_empty() {
            all.push((effect, None, None));
        }
    }
    all
}

/// Whether the rule's own words are about this question.
fn is_about(rule: &Written, asked: &Asked, (effect, table, setting): Single) -> bool {
    let known = |e: &str| rule.effects.is_empty() && (rule.verdict != "allow" || e != "unknown");
    let table_fits = |pattern: &&str| {
        let (schema, name) = table.and_then(|t| t.split_once('.')).unwrap_or_default();
        let (s, n) = pattern.split_once('.').unwrap_or(("*", pattern));
        Pattern::new(s).matches(schema) && Pattern::new(n).matches(name)
    };
    let setting_fits = |pattern: &&str| match (pattern.split_once('='), setting.unwrap_or_default()) {
        (Some(_), setting) => setting == *pattern,
        (None, setting) => Pattern::new(pattern).matches(setting.split('=').next().unwrap_or_default()),
    };
    let named = |patterns: &[&str]| {
        patterns.is_empty() || patterns.iter().any(|p| Pattern::new(p).matches(asked.name))
    };
    (rule.kinds.is_empty() || rule.kinds.contains(&asked.kind))
        && named(&rule.identities)
        && (known(effect) || rule.effects.contains(&effect))
        && (rule.tables.is_empty() || table.is_some() && rule.tables.iter().any(table_fits))
        && (rule.settings.is_empty() || setting.is_some() && rule.settings.iter().any(setting_fits))
        && rule.unbounded.is_none_or(|u| u == asked.unbounded)
        && !(rule.unless.contains(&asked.kind))
}

fn expected(rule: &Written, asked: &Asked) -> &'static str {
    let all = questions(asked);
    let reads_nothing = |q: &Single| *q == ("read", None, None);
    match rule.verdict {
        "allow" if all.iter().all(|q| is_about(rule, asked, *q) || reads_nothing(q)) => "allow",
        "allow" => "deny",
        _ => {
            let hit = |q: &Single| is_about(rule, asked, *q);
            // Settings that come with something else need no leave, only none that forbids them.
            let modes: &[&str] = if asked.effects.contains(&"session") { &[] } else { &asked.settings };
            let mode = modes.iter().any(|s| is_about(rule, asked, ("session", None, Some(*s))));
            let missed = all.iter().any(|q| !hit(q) && !reads_nothing(q));
            match (all.iter().any(hit) || mode, missed) {
                (true, _) if rule.verdict == "deny" => "deny",
                (_, true) => "deny",
                (true, false) => "hold",
                (false, false) => "allow",
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn toml_and_cedar_say_the_same(rule in written(), asked in asked()) {
        let text = text(&rule, &asked);
        let file = RuleFile { name: "r.toml".to_owned(), text: text.clone() };
        let compiled = Compiled::load(&[file], HashMap::new()).map_err(|p| TestCaseError::fail(format!("{text}\n{p:?}")))?;
        let rules = Rules::new(compiled);
        let tried = cases::run(&rules, None);
        let got = tried.first().map_or("nothing", |t| t.verdict.word());
        prop_assert_eq!(got, expected(&rule, &asked), "{}\n{:?}", text, rules.with_compiled(|c| c.cedar().to_vec()));
    }
}
