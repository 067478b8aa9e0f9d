//! The table of approvals: each statement written once, in the SQL that SQLite and PostgreSQL both have. What must happen once
//! (asking, giving, spending) is one statement, whose count of rows says who did it.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::{State, StateError};

/// The lock of who asks, in a shared state.
const ASKING: i64 = 0x6669_7273_7461_736b;

/// Makes the tables. At most one question is open for a binding: the partial index sees to it, over all gateways.
pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS approvals (
        id TEXT PRIMARY KEY, binding TEXT NOT NULL, stage TEXT NOT NULL, log TEXT NOT NULL,
        session TEXT NOT NULL, command BIGINT NOT NULL, asked BIGINT NOT NULL, ends BIGINT NOT NULL,
        spend_us BIGINT NOT NULL, terms TEXT NOT NULL, people TEXT NOT NULL, asker TEXT NOT NULL,
        told BIGINT NOT NULL, listed TEXT NOT NULL, about TEXT NOT NULL, about_hash TEXT NOT NULL,
        preview TEXT NOT NULL, preview_seal TEXT NOT NULL, reason TEXT NOT NULL, ended BIGINT NOT NULL,
        ender TEXT NOT NULL, seal TEXT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS approvals_open ON approvals (binding) WHERE stage IN ('asked', 'given')",
    "CREATE INDEX IF NOT EXISTS approvals_asked ON approvals (asked)",
    "CREATE INDEX IF NOT EXISTS approvals_ended ON approvals (ended)",
    "CREATE TABLE IF NOT EXISTS votes (
        approval TEXT NOT NULL, person TEXT NOT NULL, log TEXT NOT NULL, teams TEXT NOT NULL,
        reason TEXT NOT NULL, cast_at BIGINT NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (approval, person))",
    "CREATE TABLE IF NOT EXISTS voters (
        approval TEXT NOT NULL, person TEXT NOT NULL, known TEXT NOT NULL, PRIMARY KEY (approval, person))",
    "CREATE TABLE IF NOT EXISTS glass (approval TEXT NOT NULL, person TEXT NOT NULL, PRIMARY KEY (approval, person))",
    "CREATE TABLE IF NOT EXISTS signatures (
        approval TEXT NOT NULL, person TEXT NOT NULL, signed TEXT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY (approval, person))",
    "CREATE TABLE IF NOT EXISTS originals (approval TEXT PRIMARY KEY, sealed TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS grant_uses (grant_id TEXT PRIMARY KEY, used BIGINT NOT NULL)",
];

/// Who has approved, as whom they are known, whether they broke the glass, and what they have signed.
const VOTES: &str = "SELECT v.approval, v.person, v.log, v.teams, v.reason, v.cast_at, v.seal, COALESCE(k.known, '') AS known, \
                     COALESCE(g.approval, '') AS glass, COALESCE(s.signed, '') AS signed, COALESCE(s.signature, '') AS signature \
                     FROM votes v LEFT JOIN voters k ON k.approval = v.approval AND k.person = v.person \
                     LEFT JOIN glass g ON g.approval = v.approval AND g.person = v.person \
                     LEFT JOIN signatures s ON s.approval = v.approval AND s.person = v.person";

/// The tables in which something stands of each yes.
const OF_VOTES: [&str; 4] = ["votes", "voters", "glass", "signatures"];

/// What is kept sealed of an approval is destroyed with its end, in the transaction that ends it.
const FORGET: &str = "DELETE FROM originals WHERE approval = $1";

/// All of an approval but the two that may be long: what is shown of one, and what it would change.
const SLIM: &str = "id, binding, stage, log, session, command, asked, ends, spend_us, terms, people, asker, told, listed, \
                    '' AS about, about_hash, '' AS preview, preview_seal, reason, ended, ender, seal";
/// What an end leaves of what was shown: the record has all of it.
const CLEARED: &str = "about = '', preview = '', preview_seal = ''";

/// How far an approval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits for people.
    Asked,
    /// Given, and not spent.
    Given,
    /// Refused.
    Refused,
    /// Nobody answered, or it was not spent, in time.
    Expired,
    /// Nobody waits for it any more.
    Withdrawn,
    /// Spent.
    Spent,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Asked, Self::Given, Self::Refused, Self::Expired, Self::Withdrawn, Self::Spent];

    /// The word in the table, in lists and in kinds of entries.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Given => "given",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Spent => "spent",
        }
    }

    /// Whether something can still come of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Asked | Self::Given)
    }
}

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What it is bound to, in hexadecimal.
    pub binding: String,
    /// How far it is.
    pub stage: Stage,
    /// The log that tells of its asking.
    pub log: String,
    /// The session that asked first.
    pub session: String,
    /// The command's number in it.
    pub command: u64,
    /// When it was asked, in µs.
    pub asked: u64,
    /// Until when it can be approved or, once given, spent.
    pub ends: u64,
    /// How long it can be spent once it is given.
    pub spend_us: u64,
    /// Who must approve: JSON.
    pub terms: String,
    /// Names of all in the chain of who asks, as they are compared: JSON list.
    pub people: String,
    /// Whose question it is, of the limits: the pseudonym of the outermost in the chain.
    pub asker: String,
    /// Its client was told of it.
    pub told: bool,
    /// What lists show of it: JSON.
    pub listed: String,
    /// What is shown of it: JSON. Empty once it is over, and where it was not read.
    pub about: String,
    /// The digest of that.
    pub about_hash: String,
    /// What it would change: JSON; empty: that is not known, or it was not read.
    pub preview: String,
    /// The seal of that.
    pub preview_seal: String,
    /// Why it was refused, or what an approver said.
    pub reason: String,
    /// When it ended; 0: it is open.
    pub ended: u64,
    /// The log that tells of its being spent, until a start has found it there.
    pub ender: String,
    /// What keeps its question from being changed: see `approvals/seal.rs`.
    pub seal: String,
}

/// What somebody has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The text.
    pub text: String,
    /// The signature, armored.
    pub signature: String,
}

/// One person's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub person: String,
    /// All names and ids of their chain, by which they may be contained: JSON list.
    pub known: String,
    /// The log that tells of it.
    pub log: String,
    /// The groups in which they count: JSON list.
    pub teams: String,
    /// What they said.
    pub reason: String,
    /// When.
    pub at: u64,
    /// They broke the glass: it needs nobody else.
    pub glass: bool,
    /// What they have signed, where they have.
    pub signed: Option<Signed>,
    /// What keeps it from being made up.
    pub seal: String,
}

/// What is approved: a command, or time at a target. Both are kept in one table, and their ids tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A command that is held.
    Command,
    /// A grant.
    Grant,
}

impl Sort {
    /// The beginning of its ids.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Command => "ap-",
            Self::Grant => "gr-",
        }
    }

    /// Of which sort one with this id is.
    #[must_use]
    pub fn of(id: &str) -> Self {
        if id.starts_with(Self::Grant.prefix()) { Self::Grant } else { Self::Command }
    }
}

/// Which approvals are listed.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Of this sort only.
    pub sort: Option<Sort>,
    /// Those that are over, too.
    pub ended_too: bool,
    /// Of these names only, as they are compared; `None`: of all.
    pub of: Option<Vec<String>>,
    /// Behind this one: when it was asked, and its id.
    pub after: Option<(u64, String)>,
    /// At most so many.
    pub most: u32,
}

/// How many may be open.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// In all.
    pub all: u64,
    /// Of one asker.
    pub own: u64,
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is asked.
    New,
    /// Another one is open for the same binding.
    Joins,
    /// As many are open as may be.
    TooMany,
}

/// What a list of names contains where `name` is one of it. A name that holds quotation marks may be found where it is not.
fn pattern(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    let escaped = quoted.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn row(from: &AnyRow) -> Result<Row, StateError> {
    let text = |key: &str| from.try_get::<String, _>(key);
    let number = |key: &str| from.try_get::<i64, _>(key).map(|n| u64::try_from(n).unwrap_or(0));
    let word = text("stage")?;
    let stage = Stage::ALL.into_iter().find(|stage| stage.word() == word);
    Ok(Row {
        id: text("id")?,
        binding: text("binding")?,
        stage: stage.ok_or_else(|| StateError(format!("`{word}` is no stage of an approval")))?,
        log: text("log")?,
        session: text("session")?,
        command: number("command")?,
        asked: number("asked")?,
        ends: number("ends")?,
        spend_us: number("spend_us")?,
        terms: text("terms")?,
        people: text("people")?,
        asker: text("asker")?,
        told: number("told")? != 0,
        listed: text("listed")?,
        about: text("about")?,
        about_hash: text("about_hash")?,
        preview: text("preview")?,
        preview_seal: text("preview_seal")?,
        reason: text("reason")?,
        ended: number("ended")?,
        ender: text("ender")?,
        seal: text("seal")?,
    })
}

fn vote(from: &AnyRow) -> Result<Vote, StateError> {
    let text = |key: &str| from.try_get::<String, _>(key);
    Ok(Vote {
        person: text("person")?,
        known: text("known")?,
        log: text("log")?,
        teams: text("teams")?,
        reason: text("reason")?,
        at: u64::try_from(from.try_get::<i64, _>("cast_at")?).unwrap_or(0),
        glass: !text("glass")?.is_empty(),
        signed: Some(Signed { text: text("signed")?, signature: text("signature")? })
            .filter(|signed| !signed.text.is_empty() || !signed.signature.is_empty()),
        seal: text("seal")?,
    })
}

/// An approval that nobody else can change meanwhile. Dropped, it is left as it was.
#[derive(Debug)]
pub struct Locked<'a> {
    state: &'a State,
    on: Transaction<'static, Any>,
    /// As it is.
    pub row: Row,
    /// Who has approved it.
    pub votes: Vec<Vote>,
}

impl Locked<'_> {
    /// Adds a person's yes; `ends` where that makes it given: until then it can be spent.
    ///
    /// # Errors
    /// When it cannot be written: then nothing is.
    pub async fn give(mut self, vote: &Vote, ends: Option<u64>) -> Result<(), StateError> {
        // Who breaks the glass may have approved it before, as one of several: that was one yes, and this is another.
        if vote.glass {
            for of_votes in OF_VOTES {
                let delete = format!("DELETE FROM {of_votes} WHERE approval = $1 AND person = $2");
                let query = sqlx::query(AssertSqlSafe(delete)).bind(&self.row.id).bind(&vote.person);
                query.execute(&mut *self.on).await?;
            }
            let insert = "INSERT INTO glass (approval, person) VALUES ($1, $2)";
            sqlx::query(insert).bind(&self.row.id).bind(&vote.person).execute(&mut *self.on).await?;
        }
        let insert = "INSERT INTO votes (approval, person, log, teams, reason, cast_at, seal) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let query = sqlx::query(insert).bind(&self.row.id).bind(&vote.person).bind(&vote.log);
        let query = query.bind(&vote.teams).bind(&vote.reason).bind(signed(vote.at)).bind(&vote.seal);
        query.execute(&mut *self.on).await?;
        let insert = "INSERT INTO voters (approval, person, known) VALUES ($1, $2, $3)";
        let query = sqlx::query(insert).bind(&self.row.id).bind(&vote.person).bind(&vote.known);
        query.execute(&mut *self.on).await?;
        if let Some(Signed { text, signature }) = &vote.signed {
            let insert =
                "INSERT INTO signatures (approval, person, signed, signature) VALUES ($1, $2, $3, $4)";
            let query = sqlx::query(insert).bind(&self.row.id).bind(&vote.person).bind(text).bind(signature);
            query.execute(&mut *self.on).await?;
        }
        if let Some(ends) = ends {
            let update = "UPDATE approvals SET stage = 'given', ends = $2 WHERE id = $1";
            sqlx::query(update).bind(&self.row.id).bind(signed(ends)).execute(&mut *self.on).await?;
        }
        self.done().await
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be written: then nothing is.
    pub async fn end(mut self, stage: Stage, reason: &str, now: u64) -> Result<(), StateError> {
        let update =
            format!("UPDATE approvals SET stage = $2, reason = $3, ended = $4, {CLEARED} WHERE id = $1");
        let query = sqlx::query(AssertSqlSafe(update)).bind(&self.row.id).bind(stage.word()).bind(reason);
        query.bind(signed(now)).execute(&mut *self.on).await?;
        sqlx::query(FORGET).bind(&self.row.id).execute(&mut *self.on).await?;
        self.done().await
    }

    async fn done(mut self) -> Result<(), StateError> {
        self.state.tell(&mut self.on, &self.row.id).await?;
        Ok(self.on.commit().await?)
    }
}

impl State {
    /// The open question or approval of a binding.
    ///
    /// # Errors
    /// When the state cannot be reached; so of all of these.
    pub async fn open_for(&self, binding: &str) -> Result<Option<Row>, StateError> {
        let select = "SELECT * FROM approvals WHERE binding = $1 AND stage IN ('asked', 'given')";
        let found = sqlx::query(select).bind(binding).fetch_optional(self.pool().await?).await?;
        found.as_ref().map(row).transpose()
    }

    /// The approval of this id, with who has approved it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn approval(&self, id: &str) -> Result<Option<(Row, Vec<Vote>)>, StateError> {
        let mut on = self.pool().await?.begin().await?;
        read(&mut on, id).await
    }

    /// The approval of this id, without what is shown of it and without votes.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn glance(&self, id: &str) -> Result<Option<Row>, StateError> {
        let select = format!("SELECT {SLIM} FROM approvals WHERE id = $1");
        let query = sqlx::query(AssertSqlSafe(select)).bind(id);
        query.fetch_optional(self.pool().await?).await?.as_ref().map(row).transpose()
    }

    /// Those of a listing, the newest first, without what is shown of each.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn approvals(&self, listing: &Listing) -> Result<Vec<Row>, StateError> {
        let names = listing.of.as_deref().unwrap_or_default();
        let mine: Vec<String> =
            (0..names.len()).map(|n| format!("people LIKE ${} ESCAPE '!'", n + 6)).collect();
        let mine = match &listing.of {
            None => "1 = 1".to_owned(),
            Some(_) if mine.is_empty() => "1 = 0".to_owned(),
            Some(_) => mine.join(" OR "),
        };
        let select = format!(
            "SELECT {SLIM} FROM approvals WHERE (stage IN ('asked', 'given') OR 1 = $1) \
             AND (asked < $2 OR (asked = $2 AND id < $3)) AND id LIKE $5 AND ({mine}) ORDER BY asked DESC, id DESC LIMIT $4"
        );
        let (asked, id) = listing.after.clone().unwrap_or((u64::MAX, String::new()));
        let mut query = sqlx::query(AssertSqlSafe(select)).bind(i64::from(listing.ended_too));
        query = query.bind(signed(asked)).bind(id).bind(i64::from(listing.most));
        query = query.bind(format!("{}%", listing.sort.map_or("", Sort::prefix)));
        for name in names {
            query = query.bind(pattern(name));
        }
        query.fetch_all(self.pool().await?).await?.iter().map(row).collect()
    }

    /// All votes of what is open, by the approval's id.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn open_votes(&self) -> Result<Vec<(String, Vote)>, StateError> {
        let select = format!(
            "{VOTES} JOIN approvals a ON a.id = v.approval \
             WHERE a.stage IN ('asked', 'given') ORDER BY v.cast_at, v.person"
        );
        let found = sqlx::query(AssertSqlSafe(select)).fetch_all(self.pool().await?).await?;
        found.iter().map(|from| Ok((from.try_get("approval")?, vote(from)?))).collect()
    }

    /// Those that were spent here since then, as far as no start has looked for them in the record.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn spent_here(&self, log: &str, since: u64) -> Result<Vec<String>, StateError> {
        let select = "SELECT id FROM approvals WHERE stage = 'spent' AND ender = $1 AND ended >= $2";
        let query = sqlx::query(select).bind(log).bind(signed(since));
        let found = query.fetch_all(self.pool().await?).await?;
        found.iter().map(|from| Ok(from.try_get("id")?)).collect()
    }

    /// They have been looked for in the record.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn looked_for(&self, log: &str) -> Result<(), StateError> {
        let update = "UPDATE approvals SET ender = '' WHERE stage = 'spent' AND ender = $1";
        sqlx::query(update).bind(log).execute(self.pool().await?).await?;
        Ok(())
    }

    /// Counts one use of a grant that is for `most`. How many it has had with it; `None`: it has had all of them.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn use_grant(&self, id: &str, most: u64) -> Result<Option<u64>, StateError> {
        let count = "INSERT INTO grant_uses (grant_id, used) VALUES ($1, 1) ON CONFLICT (grant_id) \
                     DO UPDATE SET used = grant_uses.used + 1 WHERE grant_uses.used < $2 RETURNING used";
        let found = sqlx::query(count).bind(id).bind(signed(most)).fetch_optional(self.pool().await?).await?;
        let used = found.map(|from| from.try_get::<i64, _>("used")).transpose()?;
        Ok(used.map(|used| u64::try_from(used).unwrap_or(u64::MAX)))
    }

    /// How many uses grants have had, by their ids.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn uses(&self) -> Result<Vec<(String, u64)>, StateError> {
        let found =
            sqlx::query("SELECT grant_id, used FROM grant_uses").fetch_all(self.pool().await?).await?;
        let one = |from: &AnyRow| {
            let used = from.try_get::<i64, _>("used")?;
            Ok((from.try_get("grant_id")?, u64::try_from(used).unwrap_or(u64::MAX)))
        };
        found.iter().map(one).collect()
    }

    /// The glass that was broken: the approval's id, and by whom.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn broken_glass(&self) -> Result<Vec<(String, String)>, StateError> {
        let found = sqlx::query("SELECT approval, person FROM glass").fetch_all(self.pool().await?).await?;
        found.iter().map(|from| Ok((from.try_get("approval")?, from.try_get("person")?))).collect()
    }

    /// Deletes what ended before then. How many.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn purge(&self, before: u64) -> Result<u64, StateError> {
        let mut on = self.pool().await?.begin().await?;
        let old = "stage NOT IN ('asked', 'given') AND ended < $1";
        for votes in OF_VOTES {
            let votes =
                format!("DELETE FROM {votes} WHERE approval IN (SELECT id FROM approvals WHERE {old})");
            sqlx::query(AssertSqlSafe(votes)).bind(signed(before)).execute(&mut *on).await?;
        }
        // Of a question whose asking broke off.
        let left = "DELETE FROM originals WHERE approval NOT IN (SELECT id FROM approvals WHERE stage IN ('asked', 'given'))";
        sqlx::query(left).execute(&mut *on).await?;
        let uses = format!("DELETE FROM grant_uses WHERE grant_id IN (SELECT id FROM approvals WHERE {old})");
        sqlx::query(AssertSqlSafe(uses)).bind(signed(before)).execute(&mut *on).await?;
        let delete = format!("DELETE FROM approvals WHERE {old}");
        let gone = sqlx::query(AssertSqlSafe(delete)).bind(signed(before)).execute(&mut *on).await?;
        on.commit().await?;
        Ok(gone.rows_affected())
    }

    /// Asks, where no more than so many are open with it, and keeps what is sealed of it while it is open.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn ask(&self, new: &Row, sealed: Option<&str>, most: Most) -> Result<Kept, StateError> {
        let insert = "INSERT INTO approvals (id, binding, stage, log, session, command, asked, ends, spend_us, terms, people, \
                      asker, told, listed, about, about_hash, preview, preview_seal, reason, ended, ender, seal) \
                      VALUES ($1, $2, 'asked', $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, '', '', '', 0, '', $15) \
                      ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(&new.id).bind(&new.binding).bind(&new.log).bind(&new.session);
        let query = query.bind(signed(new.command)).bind(signed(new.asked)).bind(signed(new.ends));
        let query = query.bind(signed(new.spend_us)).bind(&new.terms).bind(&new.people).bind(&new.asker);
        let query = query.bind(&new.listed).bind(&new.about).bind(&new.about_hash).bind(&new.seal);
        let mut on = self.pool().await?.begin().await?;
        // One after the other, or several would count before any of them is there. With SQLite, writing itself sees to that.
        if self.is_shared() {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ASKING).execute(&mut *on).await?;
        }
        if query.execute(&mut *on).await?.rows_affected() != 1 {
            return Ok(Kept::Joins);
        }
        let (all, own) = open(&mut on, &new.asker).await?;
        if all > most.all || own > most.own {
            on.rollback().await?;
            return Ok(Kept::TooMany);
        }
        // Together: nobody finds the question without what is sealed of it.
        if let Some(sealed) = sealed {
            let insert = "INSERT INTO originals (approval, sealed) VALUES ($1, $2)";
            sqlx::query(insert).bind(&new.id).bind(sealed).execute(&mut *on).await?;
        }
        on.commit().await?;
        Ok(Kept::New)
    }

    /// What is sealed of it; `None`: nothing is.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn original(&self, id: &str) -> Result<Option<String>, StateError> {
        let select = "SELECT sealed FROM originals WHERE approval = $1";
        let found = sqlx::query(select).bind(id).fetch_optional(self.pool().await?).await?;
        Ok(found.as_ref().map(|row| row.try_get("sealed")).transpose()?)
    }

    /// What it would change is known now.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn show(&self, id: &str, preview: &str, seal: &str) -> Result<(), StateError> {
        let update = "UPDATE approvals SET preview = $2, preview_seal = $3 \
                      WHERE id = $1 AND preview = '' AND stage IN ('asked', 'given')";
        sqlx::query(update).bind(id).bind(preview).bind(seal).execute(self.pool().await?).await?;
        Ok(())
    }

    /// Its client is about to be told of it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn told(&self, id: &str) -> Result<(), StateError> {
        let update = "UPDATE approvals SET told = 1 WHERE id = $1 AND told = 0";
        sqlx::query(update).bind(id).execute(self.pool().await?).await?;
        Ok(())
    }

    /// Spends what is given; `log` tells of it. True for one, of all who try.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn spend(&self, id: &str, binding: &str, log: &str, now: u64) -> Result<bool, StateError> {
        let update = format!(
            "UPDATE approvals SET stage = 'spent', ended = $3, ender = $4, {CLEARED} \
             WHERE id = $1 AND binding = $2 AND stage = 'given' AND ends > $3"
        );
        let query = sqlx::query(AssertSqlSafe(update)).bind(id).bind(binding).bind(signed(now)).bind(log);
        self.one(query, id).await
    }

    /// Withdraws what was asked here and nobody waits for, unless a client was told of it: who joined it elsewhere does not. True where that ended it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn withdraw(&self, id: &str, log: &str, now: u64) -> Result<bool, StateError> {
        let update = format!(
            "UPDATE approvals SET stage = 'withdrawn', ended = $2, {CLEARED} \
             WHERE id = $1 AND told = 0 AND log = $3 AND stage IN ('asked', 'given')"
        );
        self.one(sqlx::query(AssertSqlSafe(update)).bind(id).bind(signed(now)).bind(log), id).await
    }

    /// Ends what the record says has ended, or what it does not know. True where that ended it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn correct(&self, id: &str, stage: Stage, now: u64) -> Result<bool, StateError> {
        let update = format!(
            "UPDATE approvals SET stage = $2, ended = $3, {CLEARED} WHERE id = $1 AND stage IN ('asked', 'given')"
        );
        self.one(sqlx::query(AssertSqlSafe(update)).bind(id).bind(stage.word()).bind(signed(now)), id).await
    }

    /// What is over by the clock and not yet ended.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn overdue(&self, now: u64) -> Result<Vec<Row>, StateError> {
        let select = format!(
            "SELECT {SLIM} FROM approvals WHERE stage IN ('asked', 'given') AND ends <= $1 LIMIT 1000"
        );
        let query = sqlx::query(AssertSqlSafe(select)).bind(signed(now));
        query.fetch_all(self.pool().await?).await?.iter().map(row).collect()
    }

    /// Ends one that is over. True for one, of all who try.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn expire(&self, id: &str, now: u64) -> Result<bool, StateError> {
        let update = format!(
            "UPDATE approvals SET stage = 'expired', ended = $2, {CLEARED} \
             WHERE id = $1 AND stage IN ('asked', 'given') AND ends <= $2"
        );
        self.one(sqlx::query(AssertSqlSafe(update)).bind(id).bind(signed(now)), id).await
    }

    /// The approval of this id, kept from being changed by others until it is given back.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn lock(&self, id: &str) -> Result<Option<Locked<'_>>, StateError> {
        let mut on = self.pool().await?.begin().await?;
        // Writing comes first: both databases then keep others from it.
        sqlx::query("UPDATE approvals SET told = told WHERE id = $1").bind(id).execute(&mut *on).await?;
        let found = read(&mut on, id).await?;
        Ok(found.map(|(row, votes)| Locked { state: self, on, row, votes }))
    }

    async fn one(
        &self,
        update: sqlx::query::Query<'_, Any, sqlx::any::AnyArguments>,
        id: &str,
    ) -> Result<bool, StateError> {
        let mut on = self.pool().await?.begin().await?;
        let one = update.execute(&mut *on).await?.rows_affected() == 1;
        if one {
            // Whatever is changed in this way ends it.
            sqlx::query(FORGET).bind(id).execute(&mut *on).await?;
            self.tell(&mut on, id).await?;
        }
        on.commit().await?;
        Ok(one)
    }
}

/// How many are open, and how many of them are of one asker.
async fn open(on: &mut Transaction<'static, Any>, asker: &str) -> Result<(u64, u64), StateError> {
    let count = "SELECT COUNT(*) AS n, COUNT(CASE WHEN asker = $1 THEN 1 END) AS own \
                 FROM approvals WHERE stage IN ('asked', 'given')";
    let found = sqlx::query(count).bind(asker).fetch_one(&mut **on).await?;
    let number = |key: &str| found.try_get::<i64, _>(key).map(|n| u64::try_from(n).unwrap_or(0));
    Ok((number("n")?, number("own")?))
}

async fn read(on: &mut Transaction<'static, Any>, id: &str) -> Result<Option<(Row, Vec<Vote>)>, StateError> {
    let select = "SELECT * FROM approvals WHERE id = $1";
    let Some(found) = sqlx::query(select).bind(id).fetch_optional(&mut **on).await? else { return Ok(None) };
    let votes = format!("{VOTES} WHERE v.approval = $1 ORDER BY v.cast_at, v.person");
    let votes = sqlx::query(AssertSqlSafe(votes)).bind(id).fetch_all(&mut **on).await?;
    Ok(Some((row(&found)?, votes.iter().map(vote).collect::<Result<_, _>>()?)))
}
