//! What a statement that ended well leaves behind in its session.

use std::sync::Arc;

use firsthand_model::statement::{Column, Derivation};
use pg_query::protobuf::node::Node as NodeEnum;

/// A change of the session's state. Applied when the target has said that the statement completed.
#[derive(Clone, Debug, Default)]
pub(crate) enum Sequel {
    /// None.
    #[default]
    Nothing,
    /// Opens a transaction block.
    Begin,
    /// Ends it.
    End {
        /// COMMIT rather than ROLLBACK.
        commit: bool,
        /// AND CHAIN.
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// SET and RESET; without a value: what it is cannot be told.
    Set {
        name: String,
        value: Setting,
        local: bool,
    },
    ResetAll,
    /// A statement, with the types of its parameters.
    Prepare(String, Arc<(NodeEnum, Vec<crate::catalog::Oid>)>),
    /// Without a name: all.
    Deallocate(Option<String>),
    Declare {
        name: String,
        cursor: Arc<crate::state::Declared>,
        hold: bool,
    },
    /// Without a name: all.
    Close(Option<String>),
    /// DISCARD ALL, or temporary tables only.
    Discard {
        all: bool,
    },
    /// A definition; with the columns of the query that fills a table.
    Define(Arc<NodeEnum>, Vec<Made>),
    /// Something ran that may have changed settings, prepared statements or cursors.
    Uncertain,
    /// One after the other.
    Several(Vec<Self>),
}

impl Sequel {
    /// Whether it tells what becomes of this setting.
    pub(crate) fn sets(&self, setting: &str) -> bool {
        match self {
            Self::Set { name, .. } => name == setting,
            Self::ResetAll | Self::Discard { all: true } => true,
            Self::Several(list) => list.iter().any(|one| one.sets(setting)),
            _ => false,
        }
    }
}

/// A setting's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Names or texts, one for most settings.
    To(Vec<String>),
    /// What the session began with.
    Default,
    /// It cannot be told.
    Unknown,
}

/// A column of a table made from a query.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) type_oid: crate::catalog::Oid,
    pub(crate) origin: Option<Arc<(Vec<Column>, Derivation)>>,
}
