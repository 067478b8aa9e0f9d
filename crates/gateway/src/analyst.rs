//! What statements would do at a target, for the commands about policy: analysed as a session would, against the target's
//! catalog, without anything being run but the reading of that catalog.

use std::sync::Arc;

use firsthand_adapters::dialer::DirectDialer;
use firsthand_model::statement::{self, Facts};
use firsthand_policy::labels::KnownColumn;
use firsthand_policy::rules::Rules;
use firsthand_protocols::postgres::access;
use firsthand_protocols::postgres::catalog::load_with_start;
use firsthand_protocols::protocol::Probe;
use firsthand_session::port::Dialer;
use firsthand_sql::catalog::{Catalog, Relation};
use firsthand_sql::explain::{Meant, explain, meant};
use firsthand_sql::state::Start;
use tokio::time::timeout;

use crate::config::TargetConfig;
use crate::failure::Failure;
use crate::listen;
use crate::place::{Asking, Place};

/// Generations of parents that a table's columns are looked up in.
const PARENTS_MAX: usize = 32;

/// Analyses statements for one target.
pub(crate) struct Analyst {
    catalog: Arc<Catalog>,
    start: Start,
    database: String,
}

impl Analyst {
    /// With the catalog of a database of the target, read with its credential for this command; which is recorded first.
    ///
    /// # Errors
    /// Why the catalog cannot be read, or the reading not recorded.
    pub(crate) fn of(
        command: &str,
        place: &Place,
        target: &TargetConfig,
        database: &str,
    ) -> Result<Self, Failure> {
        place.note_asking(&Asking {
            command: command.to_owned(),
            target: target.target.name.clone(),
            database: database.to_owned(),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::new(format!("cannot start: {e}"), "check the limits of this process"))?;
        let (catalog, start) = runtime.block_on(catalog_of(target, database)).map_err(|why| {
            let name = &target.target.name;
            Failure::new(
                format!("the catalog of target {name} cannot be read: {why}"),
                "firsthand check --config FILE tries the target",
            )
        })?;
        Ok(Self { catalog, start, database: database.to_owned() })
    }

    /// Without a catalog: what only a catalog can tell is unknown.
    pub(crate) fn blind() -> Self {
        Self { catalog: Arc::new(Catalog::empty()), start: Start::default(), database: String::new() }
    }

    /// Tells the rules which columns the target has.
    pub(crate) fn teach(&self, rules: &Rules, target: &str) {
        if self.catalog.is_known() {
            rules.know(target, &self.database, columns(&self.catalog));
        }
    }

    /// What the only statement of a text means, after others have passed through the session; `None`: it is not one.
    pub(crate) fn meant(&self, setup: &[String], sql: &str) -> Option<Meant> {
        meant(&self.catalog, &self.start, setup, sql)
    }

    /// What the statements of a text do, after others have passed through the session.
    pub(crate) fn explain(&self, setup: &[String], sql: &str) -> Vec<Arc<Facts>> {
        if is_call(sql) {
            // The target never sees it.
            return vec![Arc::new(Facts::default())];
        }
        let explained = explain(&self.catalog, &self.start, setup, sql);
        let untold = || {
            Arc::new(Facts {
                effects: firsthand_model::command::Effects::only(firsthand_model::command::Effect::Unknown),
                opaque: Some(statement::Opaque { why: "unparsed", what: String::new() }),
                output: statement::Output::Untold("it could not be analysed"),
                ..Facts::default()
            })
        };
        // A text that came to nothing is empty, or a comment; any other was not analysed.
        let text = sql.trim_matches(|c: char| c.is_whitespace() || c == ';');
        if explained.is_empty() && !text.is_empty() && !text.starts_with("--") && !text.starts_with("/*") {
            return vec![untold()];
        }
        explained.into_iter().map(|e| e.shape.facts.clone().unwrap_or_else(untold)).collect()
    }
}

/// Whether it is a call to the gateway itself.
pub(crate) fn is_call(sql: &str) -> bool {
    access::is_call(sql)
}

async fn catalog_of(target: &TargetConfig, database: &str) -> Result<(Arc<Catalog>, Start), String> {
    let credential = target.credential.read().map_err(|e| e.to_string())?;
    let link = listen::link(target, &mut None).map_err(|failure| failure.messages.join("; "))?;
    let loading = async {
        let stream = DirectDialer.dial(&target.target).await.map_err(|e| e.to_string())?;
        let with = Probe { stream, link, credential: &credential, database };
        load_with_start(with).await
    };
    // The definitions of a large database are many rows: the greeting's time is for its first answer alone.
    match timeout(target.timeout * 6, loading).await {
        Ok(loaded) => loaded,
        Err(_) => Err("it did not come in time".to_owned()),
    }
}

/// The columns of a catalog's relations, with those behind them. The server's own relations have no labels of users.
pub(crate) fn columns(catalog: &Catalog) -> Vec<KnownColumn> {
    let mut all = Vec::new();
    for relation in catalog.relations().filter(|r| !r.is_system()) {
        for column in &relation.columns {
            let mut behind: Vec<statement::Column> =
                column.origin.as_ref().map(|origin| origin.0.clone()).unwrap_or_default();
            inherited(catalog, relation, &column.name, 0, &mut behind);
            // A generated column is what it is made of.
            for (table, of) in catalog.generated_from(relation.oid, &column.name) {
                behind.push(named(table, &of.name, &of.labels));
            }
            all.push(KnownColumn {
                column: named(relation, &column.name, &column.labels),
                oid: relation.oid,
                attnum: column.number,
                behind,
            });
        }
    }
    all
}

fn named(relation: &Relation, column: &str, labels: &[String]) -> statement::Column {
    statement::Column {
        schema: relation.schema.to_string(),
        relation: relation.name.to_string(),
        column: column.to_owned(),
        labels: labels.to_vec(),
    }
}

fn inherited(
    catalog: &Catalog,
    relation: &Relation,
    column: &str,
    depth: usize,
    behind: &mut Vec<statement::Column>,
) {
    if depth > PARENTS_MAX {
        return;
    }
    for parent in relation.parents.iter().filter_map(|oid| catalog.relation_by_oid(*oid)) {
        if let Some(found) = parent.column(column) {
            behind.push(named(parent, column, &found.labels));
        }
        inherited(catalog, parent, column, depth + 1, behind);
    }
}
