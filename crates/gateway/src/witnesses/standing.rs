//! How the witnesses are, for readiness, metrics and people.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{LATE, Now, Witnesses};

/// How one is.
pub(crate) struct Each {
    /// What it is called.
    pub(crate) name: String,
    /// Entries that it has cosigned, and how long ago it said so.
    pub(crate) cosigned: Option<(u64, Duration)>,
    /// Why the last try failed.
    pub(crate) error: Option<String>,
    /// It has seen another history, or more of this one.
    pub(crate) refuses: bool,
    /// Times that it was asked, and that came to nothing.
    pub(crate) asked: u64,
    pub(crate) failed: u64,
}

/// How they are together.
pub(crate) struct Standing {
    /// `none`, `starting`, `ok`, `late`, `failing`, `refused`.
    pub(crate) word: &'static str,
    /// Why not `ok`.
    pub(crate) reason: String,
    /// The newest checkpoint that enough have cosigned, and how long ago they had.
    pub(crate) cosigned: Option<(u64, Duration)>,
    /// How many must have, of how many.
    pub(crate) quorum: (usize, usize),
    /// Each of them.
    pub(crate) each: Vec<Each>,
}

impl Standing {
    /// Whether the gateway is ready as far as they go.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(self.word, "failing" | "refused")
    }

    /// Whether enough have cosigned what there is, or are not late with it.
    pub(crate) fn is_in_time(&self) -> bool {
        matches!(self.word, "ok" | "starting")
    }

    /// For the readiness report; nothing where there are none.
    pub(crate) fn json(&self) -> Value {
        if self.word == "none" {
            return Value::Null;
        }
        let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let of = |cosigned: Option<(u64, Duration)>| {
            cosigned.map(|(size, age)| json!({ "size": size, "age_ms": ms(age) }))
        };
        let each = |one: &Each| json!({ "name": one.name, "cosigned": of(one.cosigned), "error": one.error, "refuses": one.refuses });
        let each: Vec<Value> = self.each.iter().map(each).collect();
        json!({ "state": self.word, "reason": self.reason, "quorum": self.quorum.0, "of": self.quorum.1,
                "cosigned": of(self.cosigned), "each": each })
    }
}

impl Witnesses {
    /// How they are now.
    pub(crate) fn standing(&self) -> Standing {
        let now = self.lock();
        let quorum = (self.specs.quorum, self.specs.all.len());
        let (word, reason) = self.word(&now);
        let since = |(size, at): (u64, Instant)| (size, at.elapsed());
        let each = self.specs.all.iter().zip(&now.each).map(|(spec, one)| Each {
            name: spec.name.clone(),
            cosigned: one.cosigned.map(since),
            error: one.error.clone(),
            refuses: one.refuses,
            asked: one.asked,
            failed: one.failed,
        });
        let cosigned = now.cosigned.as_ref().map(|(cosigned, at)| (cosigned.size, at.elapsed()));
        Standing { word, reason, cosigned, quorum, each: each.collect() }
    }

    fn word(&self, now: &Now) -> (&'static str, String) {
        let (wanted, all) = (self.specs.quorum, self.specs.all.len());
        if all == 0 {
            return ("none", String::new());
        }
        let named = || self.specs.all.iter().zip(&now.each);
        let refusing: Vec<_> = named().filter(|(_, one)| one.refuses).collect();
        if let Some((spec, one)) = refusing.first().filter(|_| all - refusing.len().min(all) < wanted) {
            let why = one.error.as_deref().unwrap_or("it refuses");
            return ("refused", format!("witness {}: {why}", spec.name));
        }
        let oldest = now.waiting.front().map(|(_, since)| since.elapsed());
        let Some(age) = oldest.filter(|age| *age > self.specs.within) else {
            let word = if now.cosigned.is_none() { "starting" } else { "ok" };
            return (word, String::new());
        };
        let errors =
            named().filter_map(|(spec, one)| Some(format!("; {}: {}", spec.name, one.error.as_ref()?)));
        let why = format!(
            "entries have not been cosigned by {wanted} of {all} witnesses for {} s{}",
            age.as_secs(),
            errors.collect::<String>()
        );
        (if age > LATE { "failing" } else { "late" }, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{WitnessSpec, WitnessSpecs};
    use crate::witnesses::Cosigned;
    use firsthand_auditlog::sign::Published;
    use firsthand_auditlog::tlog::key::{KeyKind, VerifyingKey};

    fn three() -> Witnesses {
        let spec = |n: u8| WitnessSpec {
            name: format!("w{n}"),
            url: String::new(),
            ca: None,
            vkey: VerifyingKey::new("w", KeyKind::Cosignature, [n; 32]).unwrap(),
        };
        let within = Duration::from_secs(5);
        Witnesses::new(WitnessSpecs { all: (0..3).map(spec).collect(), quorum: 2, within })
    }

    fn publish(witnesses: &Witnesses, size: u64) {
        witnesses.see(&Published { epoch: 1, size, root: [0; 32], note: String::new() });
    }

    fn reach(witnesses: &Witnesses, size: u64) {
        witnesses.reached(Cosigned { epoch: 1, size, note: String::new() });
    }

    fn age(witnesses: &Witnesses, seconds: u64) {
        for (_, since) in &mut witnesses.lock().waiting {
            *since -= Duration::from_secs(seconds);
        }
    }

    #[test]
    fn late_is_told_of_and_a_minute_is_red() {
        let witnesses = three();
        let word = || witnesses.standing().word;
        assert_eq!(word(), "starting");
        publish(&witnesses, 5);
        assert_eq!(word(), "starting");
        age(&witnesses, 6);
        assert_eq!((word(), witnesses.standing().is_ready()), ("late", true));
        age(&witnesses, 55);
        assert_eq!((word(), witnesses.standing().is_ready()), ("failing", false));
        // What is newer does not make the old one younger.
        publish(&witnesses, 6);
        assert_eq!(word(), "failing");
        reach(&witnesses, 5);
        assert_eq!(word(), "ok");
        age(&witnesses, 6);
        assert_eq!(word(), "late", "6 waits for itself");
        reach(&witnesses, 6);
        publish(&witnesses, 6);
        age(&witnesses, 1000);
        assert_eq!(word(), "ok", "nothing newer: nothing is waited for");
    }

    #[test]
    fn one_that_refuses_alone_does_not_stop_the_gateway() {
        let witnesses = three();
        publish(&witnesses, 5);
        reach(&witnesses, 5);
        let refuse = |at| {
            witnesses.update(at, |one| (one.refuses, one.error) = (true, Some("another history".to_owned())));
        };
        refuse(2);
        assert_eq!(witnesses.standing().word, "ok");
        refuse(1);
        let now = witnesses.standing();
        assert_eq!((now.word, now.is_ready()), ("refused", false));
        assert_eq!(now.reason, "witness w1: another history");
        assert_eq!(now.json()["each"][2]["refuses"], true);
    }
}
