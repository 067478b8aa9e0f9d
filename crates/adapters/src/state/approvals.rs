//! The table of approvals: each statement written once, in the SQL that SQLite and PostgreSQL both have. What must happen once
//! (asking, giving, spending) is one statement, whose count of rows says who did it.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::{State, StateError};

/// Makes the tables. At most one question is open for a binding: the partial index sees to it, over all gateways.
pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS approvals (
        id TEXT PRIMARY KEY, binding TEXT NOT NULL, stage TEXT NOT NULL, log TEXT NOT NULL,
        session TEXT NOT NULL, command BIGINT NOT NULL, asked BIGINT NOT NULL, ends BIGINT NOT NULL,
        spend_us BIGINT NOT NULL, terms TEXT NOT NULL, people TEXT NOT NULL, told BIGINT NOT NULL,
        about TEXT NOT NULL, preview TEXT NOT NULL, reason TEXT NOT NULL, ended BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS approvals_open ON approvals (binding) WHERE stage IN ('asked', 'given')",
    "CREATE INDEX IF NOT EXISTS approvals_asked ON approvals (asked)",
    "CREATE TABLE IF NOT EXISTS votes (
        approval TEXT NOT NULL, person TEXT NOT NULL, log TEXT NOT NULL, teams TEXT NOT NULL,
        reason TEXT NOT NULL, cast_at BIGINT NOT NULL, PRIMARY KEY (approval, person))",
];

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
    /// Names of the people in the chain of who asks: JSON list.
    pub people: String,
    /// Its client was told of it.
    pub told: bool,
    /// What is shown of it: JSON.
    pub about: String,
    /// What it would change: JSON; empty: that is not known.
    pub preview: String,
    /// Why it was refused, or what an approver said.
    pub reason: String,
    /// When it ended; 0: it is open.
    pub ended: u64,
}

/// One person's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub person: String,
    /// The log that tells of it.
    pub log: String,
    /// The groups in which they count: JSON list.
    pub teams: String,
    /// What they said.
    pub reason: String,
    /// When.
    pub at: u64,
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
        told: number("told")? != 0,
        about: text("about")?,
        preview: text("preview")?,
        reason: text("reason")?,
        ended: number("ended")?,
    })
}

fn vote(from: &AnyRow) -> Result<Vote, StateError> {
    let text = |key: &str| from.try_get::<String, _>(key);
    Ok(Vote {
        person: text("person")?,
        log: text("log")?,
        teams: text("teams")?,
        reason: text("reason")?,
        at: u64::try_from(from.try_get::<i64, _>("cast_at")?).unwrap_or(0),
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
        let insert = "INSERT INTO votes (approval, person, log, teams, reason, cast_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let query = sqlx::query(insert).bind(&self.row.id).bind(&vote.person).bind(&vote.log);
        query.bind(&vote.teams).bind(&vote.reason).bind(signed(vote.at)).execute(&mut *self.on).await?;
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
        let update = "UPDATE approvals SET stage = $2, reason = $3, ended = $4 WHERE id = $1";
        let query = sqlx::query(update).bind(&self.row.id).bind(stage.word()).bind(reason);
        query.bind(signed(now)).execute(&mut *self.on).await?;
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

    /// All of them, the newest first: those that are open, or the others, too.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn approvals(&self, ended_too: bool, most: u32) -> Result<Vec<Row>, StateError> {
        let select = "SELECT * FROM approvals WHERE stage IN ('asked', 'given') OR 1 = $1 \
                      ORDER BY asked DESC, id DESC LIMIT $2";
        let query = sqlx::query(select).bind(i64::from(ended_too)).bind(i64::from(most));
        query.fetch_all(self.pool().await?).await?.iter().map(row).collect()
    }

    /// How many are open.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn open_approvals(&self) -> Result<u64, StateError> {
        let count = "SELECT COUNT(*) AS n FROM approvals WHERE stage IN ('asked', 'given')";
        let found = sqlx::query(count).fetch_one(self.pool().await?).await?;
        Ok(u64::try_from(found.try_get::<i64, _>("n")?).unwrap_or(0))
    }

    /// Asks. False: another question is open for the same binding.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn ask(&self, new: &Row) -> Result<bool, StateError> {
        let insert = "INSERT INTO approvals (id, binding, stage, log, session, command, asked, ends, spend_us, terms, people, \
                      told, about, preview, reason, ended) VALUES ($1, $2, 'asked', $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, '', '', 0) \
                      ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(&new.id).bind(&new.binding).bind(&new.log).bind(&new.session);
        let query = query.bind(signed(new.command)).bind(signed(new.asked)).bind(signed(new.ends));
        let query = query.bind(signed(new.spend_us)).bind(&new.terms).bind(&new.people).bind(&new.about);
        Ok(query.execute(self.pool().await?).await?.rows_affected() == 1)
    }

    /// What it would change is known now.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn show(&self, id: &str, preview: &str) -> Result<(), StateError> {
        let update = "UPDATE approvals SET preview = $2 WHERE id = $1 AND preview = ''";
        sqlx::query(update).bind(id).bind(preview).execute(self.pool().await?).await?;
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

    /// Spends what is given. True for one, of all who try.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn spend(&self, id: &str, binding: &str, now: u64) -> Result<bool, StateError> {
        let update = "UPDATE approvals SET stage = 'spent', ended = $3 \
                      WHERE id = $1 AND binding = $2 AND stage = 'given' AND ends > $3";
        self.one(sqlx::query(update).bind(id).bind(binding).bind(signed(now)), id).await
    }

    /// Withdraws what was asked here and nobody waits for, unless a client was told of it: who joined it elsewhere does not. True where that ended it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn withdraw(&self, id: &str, log: &str, now: u64) -> Result<bool, StateError> {
        let update = "UPDATE approvals SET stage = 'withdrawn', ended = $2 \
                      WHERE id = $1 AND told = 0 AND log = $3 AND stage IN ('asked', 'given')";
        self.one(sqlx::query(update).bind(id).bind(signed(now)).bind(log), id).await
    }

    /// Ends what the record says has ended, or what it does not know. True where that ended it.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn correct(&self, id: &str, stage: Stage, now: u64) -> Result<bool, StateError> {
        let update =
            "UPDATE approvals SET stage = $2, ended = $3 WHERE id = $1 AND stage IN ('asked', 'given')";
        self.one(sqlx::query(update).bind(id).bind(stage.word()).bind(signed(now)), id).await
    }

    /// What is over by the clock and not yet ended.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn overdue(&self, now: u64) -> Result<Vec<Row>, StateError> {
        let select = "SELECT * FROM approvals WHERE stage IN ('asked', 'given') AND ends <= $1 LIMIT 1000";
        let query = sqlx::query(select).bind(signed(now));
        query.fetch_all(self.pool().await?).await?.iter().map(row).collect()
    }

    /// Ends one that is over. True for one, of all who try.
    ///
    /// # Errors
    /// See [`State::open_for`].
    pub async fn expire(&self, id: &str, now: u64) -> Result<bool, StateError> {
        let update = "UPDATE approvals SET stage = 'expired', ended = $2 \
                      WHERE id = $1 AND stage IN ('asked', 'given') AND ends <= $2";
        self.one(sqlx::query(update).bind(id).bind(signed(now)), id).await
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
            self.tell(&mut on, id).await?;
        }
        on.commit().await?;
        Ok(one)
    }
}

async fn read(on: &mut Transaction<'static, Any>, id: &str) -> Result<Option<(Row, Vec<Vote>)>, StateError> {
    let select = "SELECT * FROM approvals WHERE id = $1";
    let Some(found) = sqlx::query(select).bind(id).fetch_optional(&mut **on).await? else { return Ok(None) };
    let votes =
        "SELECT person, log, teams, reason, cast_at FROM votes WHERE approval = $1 ORDER BY cast_at, person";
    let votes = sqlx::query(votes).bind(id).fetch_all(&mut **on).await?;
    Ok(Some((row(&found)?, votes.iter().map(vote).collect::<Result<_, _>>()?)))
}
