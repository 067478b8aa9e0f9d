//! What a configuration lets through, or keeps from ever happening, and hardly means to: told by `check`, and by the gateway when it
//! starts and when it reads its configuration again.

use firsthand_policy::compiled::Compiled;

use crate::config::Config;

/// Of the rules by themselves.
pub(crate) fn of_rules(rules: &Compiled) -> Vec<String> {
    let mut all: Vec<String> = rules.gaps().iter().map(|kind| gap(kind.word())).collect();
    for (rule, group) in rules.asked() {
        let nobody = nobody(Some(rules), &group);
        all.extend(nobody.map(|nobody| format!("rule {rule} asks the group `{group}`, and {nobody}")));
    }
    all
}

/// Of what names groups of the rules elsewhere: who approves grants, who sees what is masked, what a channel is told of.
pub(crate) fn of_groups(config: &Config, rules: Option<&Compiled>) -> Vec<String> {
    let mut all = Vec::new();
    let mut look = |what: String, group: &str| {
        all.extend(nobody(rules, group).map(|nobody| format!("{what} the group `{group}`, and {nobody}")));
    };
    for target in &config.targets {
        if let Some(offer) = &target.target.grants {
            look(format!("target {}: grants are approved by", target.target.name), &offer.approvers);
        }
    }
    if let Some(originals) = config.policy.as_ref().and_then(|policy| policy.originals.as_deref()) {
        look("[policy]: originals are for".to_owned(), originals);
    }
    for channel in &config.channels {
        for group in &channel.groups {
            look(format!("channel {}: it is told of what waits for", channel.name), group);
        }
    }
    all
}

/// All of them, for the gateway's own messages.
pub(crate) fn all(config: &Config, rules: Option<&Compiled>) -> Vec<String> {
    let of_rules = rules.map(of_rules).unwrap_or_default();
    let mut all: Vec<String> = of_rules.into_iter().map(|warning| format!("policy: {warning}")).collect();
    all.extend(of_groups(config, rules));
    all
}

/// Why nobody is in a group, if so.
fn nobody(rules: Option<&Compiled>, group: &str) -> Option<String> {
    let Some(rules) = rules else {
        return Some("there are no groups without [policy]".to_owned());
    };
    if rules.has_members(group) {
        return None;
    }
    Some("there is none of that name: list its members in a [[group]] of the rules".to_owned())
}

fn gap(kind: &str) -> String {
    format!(
        "writes of identities of the kind `{kind}` are refused or held, and `unknown` is allowed: a write in a DO block or another \
         statement that cannot be judged runs unasked; hold or deny `unknown` for them, too"
    )
}
