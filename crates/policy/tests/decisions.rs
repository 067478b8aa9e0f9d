//! Tables of decisions: rule files with cases beside the rules, and the mistakes that are refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::HashMap;

use firsthand_policy::cases::{self, Tried};
use firsthand_policy::compiled::{Compiled, RuleFile};
use firsthand_policy::rules::Rules;

fn load(name: &str, text: &str) -> Result<Compiled, String> {
    let file = RuleFile { name: name.to_owned(), text: text.to_owned() };
    Compiled::load(&[file], HashMap::new()).map_err(|problems| {
        problems.iter().map(|p| format!("{p} ({})", p.hint)).collect::<Vec<_>>().join("\n")
    })
}

fn tried(name: &str, text: &str) -> (Rules, Vec<Tried>) {
    let rules = Rules::new(load(name, text).unwrap());
    let tried = cases::run(&rules, None);
    let wrong: Vec<String> = tried
        .iter()
        .filter(|t| !t.wrong.is_empty())
        .map(|t| format!("{}:{} {}: {:?} ({})", name, t.case.place.line, t.case.name, t.wrong, t.reason))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    (rules, tried)
}

#[test]
fn tables_of_decisions_come_out() {
    tried("rules.toml", include_str!("tables/rules.toml"));
    tried("masks.toml", include_str!("tables/masks.toml"));
    tried("limits.toml", include_str!("tables/limits.toml"));
}

#[test]
fn rules_may_name_who_answers_for_an_agent() {
    let rule = |name: &str, verdict: &str, effect: &str, more: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nbecause = \"B.\"\nverdict = \"{verdict}\"\neffects = [\"{effect}\"]\n{more}\n"
        )
    };
    let case = |effect: &str, owner: &str, verdict: &str| {
        format!(
            "[[test]]\nname = \"{effect} {owner}\"\nkind = \"agent\"\nowner = \"{owner}\"\neffects = [\"{effect}\"]\nverdict = \"{verdict}\"\n"
        )
    };
    let rules = [
        rule("own", "allow", "write", "owners = [\"plat*\"]"),
        rule("owned", "allow", "grant", "owners = [\"*\"]"),
        rule("all", "allow", "define", ""),
        rule("not", "deny", "define", "[rule.unless]\nowners = [\"platform\"]"),
    ];
    let cases = [
        case("write", "platform", "allow"),
        case("write", "sales", "deny"),
        case("write", "", "deny"),
        case("grant", "sales", "allow"),
        case("grant", "", "deny"),
        case("define", "platform", "allow"),
        case("define", "sales", "deny"),
        case("define", "", "deny"),
    ];
    tried("owners.toml", &[rules.concat(), cases.concat()].concat());
}

#[test]
fn every_shipped_rule_has_cases_it_decides_and_cases_beside_it() {
    let (rules, tried) = tried("agents.toml", firsthand_policy::AGENTS);
    let covered = cases::covered(&tried);
    for meta in rules.with_compiled(|c| c.metas()).iter().filter(|m| m.is_rule()) {
        let decided = covered.get(&meta.name).copied().unwrap_or(0);
        assert!(decided > 0, "no case is decided by {}", meta.name);
        assert!(decided < tried.len(), "every case is decided by {}", meta.name);
        assert!(meta.because.ends_with(['.', ':']), "{} has no sentence", meta.name);
    }
}

#[test]
fn the_version_changes_with_every_byte() {
    let one = load("a.toml", firsthand_policy::AGENTS).unwrap().version;
    let same = load("a.toml", firsthand_policy::AGENTS).unwrap().version;
    let other = load("a.toml", &format!("{}\n", firsthand_policy::AGENTS)).unwrap().version;
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn cedar_stands_beside_toml_and_is_checked_against_the_schema() {
    let good = "@id(\"no-merge\") @because(\"Not on Fridays.\")\nforbid(principal, action == Action::\"write\", resource is Table)\n\
                when { resource.schema == \"audit\" && context.effects.contains(\"write\") };";
    assert!(load("more.cedar", good).is_ok());
    for (text, want) in [
        ("permit(principal, action, resource);", "has no @id"),
        ("@id(\"x\") permit(principal, action, resource) when { resource.colour == 1 };", "rule `x`"),
        ("@id(\"x\") permit(principal, action == Action::\"reed\", resource);", "rule `x`"),
        (
            "@id(\"x\") permit(principal, action, resource); @id(\"x\") permit(principal, action, resource);",
            "is taken",
        ),
        ("@id(\"firsthand.x\") permit(principal, action, resource);", "Firsthand's own"),
        ("@id(\"x\") @hold(\"group=a\") permit(principal, action, resource);", "only a forbid can hold"),
        (
            "@id(\"x\") @style(\"blur\") forbid(principal, action == Action::\"ReadClear\", resource);",
            "@style(\"blur\")",
        ),
        ("permit(", "is not Cedar"),
    ] {
        let said = load("more.cedar", text).err().unwrap_or_default();
        assert!(said.contains(want), "{text}: {said}");
    }
}

const RULE: &str = "[[rule]]\nname = \"a\"\nbecause = \"B.\"\nverdict = \"allow\"\n";

#[test]
fn mistakes_are_answered_with_place_key_and_the_nearest_word() {
    for (text, want) in [
        ("[[rul]]\n", "r.toml:1:3: rul: unknown key (did you mean `rule`?"),
        (
            &*format!("{RULE}effect = [\"read\"]\n"),
            "r.toml:5:1: rule.effect: unknown key (did you mean `effects`?",
        ),
        (&*format!("{RULE}effects = [\"raed\"]\n"), "r.toml:5:12: rule.effects: `raed` is not one of `read`"),
        (&*format!("{RULE}effects = []\n"), "is an empty list"),
        (&*format!("{RULE}tables = [\"Customers\"]\n"), "`Customers` has capitals"),
        (&*format!("{RULE}tables = [\"a.b.c\"]\n"), "too many parts"),
        (&*format!("{RULE}unbounded = \"yes\"\n"), "expected `true` or `false`, found string"),
        (&*format!("{RULE}groups = [\"dba\"]\n"), "there is no `[[group]]` named `dba`"),
        (&*format!("{RULE}during = [\"freeze\"]\n"), "there is no `[[window]]` named `freeze`"),
        (&*format!("{RULE}approve = {{ group = \"dba\" }}\n"), "stands in a rule that does not hold"),
        (&*format!("{RULE}tables = [\"a\"]\nfunctions = [\"b\"]\n"), "a rule looks at one kind of thing"),
        (&*format!("{RULE}effects = [\"session\"]\ntables = [\"a\"]\n"), "the rule would never hold"),
        (&*format!("{RULE}applications = [\"psql\"]\n"), "is a claim, which anybody can make"),
        (
            &*format!("{RULE}[rule.unless]\nkind = \"agent\"\n"),
            "rule.unless.kind: unknown key (did you mean `kinds`?",
        ),
        (&*format!("{RULE}{RULE}"), "`a` is taken by another rule"),
        (&*RULE.replace("allow", "hold"), "a hold must say who can approve"),
        (&*RULE.replace("allow", "permit"), "`permit` is not one of `allow`, `deny`, `hold`"),
        (&*RULE.replace("because = \"B.\"\n", ""), "rule.because: is missing"),
        (&*RULE.replace("\"a\"", "\"no-rule\""), "is a name of Firsthand's own"),
        (&*RULE.replace("\"a\"", "\"a b\""), "is not fit for a name"),
        ("[[mask]]\nname = \"m\"\n", "a mask must say what it masks"),
        ("[[mask]]\nname = \"m\"\nlabels = [\"email\"]\nstyle = \"blur\"\n", "`blur` is not one of `redact`"),
        ("[[mask]]\nname = \"m\"\nlabels = [\"email\"]\neffects = [\"read\"]\n", "a mask depends on"),
        ("[[limit]]\nname = \"l\"\n", "the limit limits nothing"),
        ("[[limit]]\nname = \"l\"\nday = { rows = -2 }\n", "limit.day.rows: expected whole number"),
        ("[[limit]]\nname = \"l\"\nday = { sessions = 2 }\n", "limit.day.sessions: unknown key"),
        ("[[limit]]\nname = \"l\"\ntime = \"0s\"\n", "is not a number with a unit"),
        ("[[limit]]\nname = \"l\"\ntime = \"4000d\"\n", "must be more than nothing and less than a year"),
        (
            &*format!("{RULE}[rule.unless]\ntables = [\"a\"]\nfunctions = [\"b\"]\n"),
            "rule.unless.functions: stands beside `tables`",
        ),
        (
            "[[limit]]\nname = \"l\"\nrows = 1\n[limit.unless]\neffects = [\"read\"]\n",
            "limit.unless.effects: a limit depends on",
        ),
        ("[[limit]]\nname = \"l\"\nbytes = \"1MB\"\n", "is not a number with a unit"),
        ("[[limit]]\nname = \"l\"\nrows = -1\n", "expected whole number"),
        ("[[label]]\nlabel = \"E Mail\"\ncolumns = [\"email\"]\n", "is not fit for a label"),
        ("[[window]]\nname = \"w\"\n", "the window would always be open"),
        ("[[window]]\nname = \"w\"\ndays = [\"caturday\"]\n", "is no day"),
        ("[[window]]\nname = \"w\"\nhours = \"9-17\"\n", "is no span of hours"),
        ("[[window]]\nname = \"w\"\nhours = \"09:00-17:00\"\nzone = \"Mars/Olympus\"\n", "is no time zone"),
        ("[[test]]\neffects = [\"read\"]\n", "test.verdict: is missing"),
        ("name = ", "this is not TOML"),
    ] {
        let said = load("r.toml", text).err().unwrap_or_else(|| "no error".to_owned());
        assert!(said.contains(want), "{text}\n{said}");
    }
}
