//! One question to the rules: who asks for what, as Cedar's entities and context. Made once per statement, then asked for
//! every effect and every thing that it touches.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    Request, RestrictedExpression,
};
use firsthand_model::command::{Effect, Effects};
use firsthand_model::identity::{Identity, IdentityKind};
use firsthand_model::statement::{Column, Facts, Relation, RelationKind};

use crate::compiled::{ACTIONS, Compiled, Meta, THINGS};

/// The last of the effects, which is in the group of all but not among those that can be told.
const UNKNOWN: u8 = 9;
/// Action numbers beyond the effects.
pub(crate) const READ_CLEAR: u8 = 10;
/// See [`READ_CLEAR`].
pub(crate) const UNLIMITED: u8 = 11;
/// See [`READ_CLEAR`].
pub(crate) const CALL: u8 = 12;
/// Numbers of the kinds of thing.
pub(crate) const TARGET: u8 = 0;
/// See [`TARGET`].
pub(crate) const TABLE: u8 = 1;
/// See [`TARGET`].
pub(crate) const COLUMN: u8 = 2;
/// See [`TARGET`].
pub(crate) const FUNCTION: u8 = 3;
/// See [`TARGET`].
pub(crate) const SETTING: u8 = 4;

/// Names of entity types and actions, made once. A name that Cedar would not take is a mistake of this file, and shows in
/// every test.
struct Names {
    things: Vec<EntityTypeName>,
    identity: Option<EntityTypeName>,
    group: Option<EntityTypeName>,
    label: Option<EntityTypeName>,
    actions: Vec<EntityUid>,
    /// The groups of actions: of all effects, and of those that can be told.
    command: Option<EntityUid>,
    known: Option<EntityUid>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let name = |text: &str| text.parse::<EntityTypeName>().ok();
    let action = name("Action");
    let uid = |id: &&str| action.clone().map(|t| EntityUid::from_type_name_and_id(t, EntityId::new(id)));
    Names {
        things: THINGS.iter().filter_map(|t| name(t)).collect(),
        identity: name("Identity"),
        group: name("Group"),
        label: name("Label"),
        actions: ACTIONS.iter().filter_map(uid).collect(),
        command: uid(&"command"),
        known: uid(&"known"),
    }
});

fn uid(of: Option<&EntityTypeName>, id: &str) -> Result<EntityUid, Unfit> {
    let name = of.ok_or(Unfit)?.clone();
    Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
}

fn thing(kind: u8, id: &str) -> Result<EntityUid, Unfit> {
    uid(NAMES.things.get(usize::from(kind)), id)
}

/// The rules could not be asked; whoever asks must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) target: &'a str,
    pub(crate) database: &'a str,
    pub(crate) role: &'a str,
    pub(crate) application: &'a str,
    pub(crate) facts: &'a Facts,
    pub(crate) effects: Effects,
    pub(crate) windows: u64,
    pub(crate) estimated_rows: Option<u64>,
    pub(crate) approved: bool,
    /// A grant that covers the statement is in force.
    pub(crate) granted: bool,
    /// What is refused runs all the same (`mode = "observe"`), so what it gives is masked as far as can be told.
    pub(crate) observed: bool,
}

impl Situation<'_> {
    /// The kind of what acts.
    pub(crate) fn kind(&self) -> IdentityKind {
        self.identity.actor().map_or(IdentityKind::Agent, |l| l.kind)
    }
}

/// The answer to one request.
pub(crate) struct Said {
    pub(crate) allowed: bool,
    /// What determined it, in the order of the rules.
    pub(crate) by: Vec<Arc<Meta>>,
}

/// A question ready to be asked.
pub(crate) struct Question<'a> {
    compiled: &'a Compiled,
    pub(crate) on: Situation<'a>,
    principal: EntityUid,
    context: Context,
    known: HashMap<EntityUid, Entity>,
    authorizer: Authorizer,
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn set<'a>(values: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(text))
}

impl<'a> Question<'a> {
    pub(crate) fn new(compiled: &'a Compiled, on: Situation<'a>) -> Result<Self, Unfit> {
        let mut known = HashMap::new();
        let principal = principal(compiled, &on, &mut known)?;
        let labels = compiled.target_labels.get(on.target).map(Vec::as_slice).unwrap_or_default();
        let target = thing(TARGET, on.target)?;
        let attributes = [
            ("name".to_owned(), text(on.target)),
            ("labels".to_owned(), set(labels.iter().map(String::as_str))),
        ];
        put(&mut known, target, HashMap::from(attributes), HashSet::new())?;
        let context = context(compiled, &on, labels)?;
        Ok(Self { compiled, on, principal, context, known, authorizer: Authorizer::new() })
    }

    /// Whether rules of the operator speak of this action on this kind of thing.
    pub(crate) fn rules_speak(&self, action: u8, kind: u8) -> bool {
        self.compiled.subset(self.on.target, action, kind).has_rules
    }

    /// Asks about the target as a whole.
    pub(crate) fn target(&mut self, action: u8) -> Result<Said, Unfit> {
        let resource = thing(TARGET, self.on.target)?;
        self.ask(action, TARGET, resource)
    }

    /// Asks about a relation.
    pub(crate) fn table(&mut self, action: u8, relation: &Relation) -> Result<Said, Unfit> {
        // The same relation may be written in several ways. No name holds a zero byte, so no two relations share an id.
        let resource = thing(TABLE, &[&*relation.schema, &relation.name, &relation.written].join("\0"))?;
        if !self.known.contains_key(&resource) {
            let attributes = HashMap::from([
                ("schema".to_owned(), text(&relation.schema)),
                ("name".to_owned(), text(&relation.name)),
                ("written".to_owned(), text(&relation.written)),
                ("kind".to_owned(), text(kind_word(relation.kind))),
            ]);
            // Under its plain id too, so that policies in Cedar can name it.
            let plain = plain_table(&relation.schema, &relation.name)?;
            let target = thing(TARGET, self.on.target)?;
            self.add(resource.clone(), attributes, HashSet::from([plain, target]))?;
        }
        self.ask(action, TABLE, resource)
    }

    /// Asks about a column that has these labels.
    pub(crate) fn column(&mut self, action: u8, column: &Column, labels: &[Arc<str>]) -> Result<Said, Unfit> {
        // The labels belong to the id: the same column is asked about with more of them once the catalog is known.
        let mut id = [&*column.schema, &column.relation, &column.column].join("\0");
        for label in labels {
            id.push('\0');
            id.push_str(label);
        }
        let resource = thing(COLUMN, &id)?;
        if !self.known.contains_key(&resource) {
            let attributes = HashMap::from([
                ("schema".to_owned(), text(&column.schema)),
                ("table".to_owned(), text(&column.relation)),
                ("name".to_owned(), text(&column.column)),
                ("labelled".to_owned(), RestrictedExpression::new_bool(!labels.is_empty())),
            ]);
            let mut parents = HashSet::from([
                plain_table(&column.schema, &column.relation)?,
                thing(TARGET, self.on.target)?,
            ]);
            for label in labels {
                parents.insert(uid(NAMES.label.as_ref(), label)?);
            }
            self.add(resource.clone(), attributes, parents)?;
        }
        self.ask(action, COLUMN, resource)
    }

    /// Asks about a function, `schema.name`.
    pub(crate) fn function(&mut self, name: &str) -> Result<Said, Unfit> {
        let resource = thing(FUNCTION, name)?;
        if !self.known.contains_key(&resource) {
            let (schema, bare) = name.rsplit_once('.').unwrap_or(("", name));
            let attributes =
                HashMap::from([("schema".to_owned(), text(schema)), ("name".to_owned(), text(bare))]);
            self.add(resource.clone(), attributes, HashSet::from([thing(TARGET, self.on.target)?]))?;
        }
        self.ask(CALL, FUNCTION, resource)
    }

    /// Asks about a setting: `name`, or `name=value`.
    pub(crate) fn setting(&mut self, action: u8, name: &str) -> Result<Said, Unfit> {
        let resource = thing(SETTING, name)?;
        if !self.known.contains_key(&resource) {
            let (name, value) = name.split_once('=').map_or((name, None), |(n, v)| (n, Some(v)));
            let mut attributes = HashMap::from([("name".to_owned(), text(name))]);
            if let Some(value) = value {
                attributes.insert("value".to_owned(), text(value));
            }
            self.add(resource.clone(), attributes, HashSet::from([thing(TARGET, self.on.target)?]))?;
        }
        self.ask(action, SETTING, resource)
    }

    fn add(
        &mut self,
        uid: EntityUid,
        attributes: HashMap<String, RestrictedExpression>,
        parents: HashSet<EntityUid>,
    ) -> Result<(), Unfit> {
        put(&mut self.known, uid, attributes, parents)
    }

    fn ask(&mut self, action: u8, kind: u8, resource: EntityUid) -> Result<Said, Unfit> {
        let subset = self.compiled.subset(self.on.target, action, kind);
        // Only what this request can reach: the closure over all that a statement touches would be paid every time.
        let target = thing(TARGET, self.on.target)?;
        let reach = HashSet::from([&self.principal, &resource, &target]);
        let reach = reach.into_iter().filter_map(|uid| self.known.get(uid).cloned());
        let reach = reach.chain(std::iter::once(action_entity(action)?));
        let entities = Entities::from_entities(reach, None).map_err(|_| Unfit)?;
        let action = NAMES.actions.get(usize::from(action)).ok_or(Unfit)?.clone();
        let request = Request::new(self.principal.clone(), action, resource, self.context.clone(), None);
        let request = request.map_err(|_| Unfit)?;
        let response = self.authorizer.is_authorized(&request, &subset.policies, &entities);
        // A rule that errs would be skipped: what it forbids would be allowed.
        if response.diagnostics().errors().next().is_some() {
            return Err(Unfit);
        }
        let metas = |id: &PolicyId| self.compiled.meta(id).cloned();
        let mut by: Vec<Arc<Meta>> = response.diagnostics().reason().filter_map(metas).collect();
        by.sort_by_key(|m| m.order);
        Ok(Said { allowed: response.decision() == Answer::Allow, by })
    }
}

/// An action with the groups that it is in.
fn action_entity(action: u8) -> Result<Entity, Unfit> {
    let uid = NAMES.actions.get(usize::from(action)).ok_or(Unfit)?.clone();
    let groups = match action {
        UNKNOWN => [NAMES.command.clone(), None],
        0..UNKNOWN => [NAMES.command.clone(), NAMES.known.clone()],
        _ => [None, None],
    };
    Ok(Entity::new_no_attrs(uid, groups.into_iter().flatten().collect()))
}

/// The name under which policies in Cedar may speak of a relation: `resource in Table::"public.customers"`.
fn plain_table(schema: &str, name: &str) -> Result<EntityUid, Unfit> {
    thing(TABLE, &format!("{schema}.{name}"))
}

fn put(
    known: &mut HashMap<EntityUid, Entity>,
    uid: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
    parents: HashSet<EntityUid>,
) -> Result<(), Unfit> {
    let entity = Entity::new(uid.clone(), attributes, parents).map_err(|_| Unfit)?;
    known.insert(uid, entity);
    Ok(())
}

fn principal(
    compiled: &Compiled,
    on: &Situation<'_>,
    known: &mut HashMap<EntityUid, Entity>,
) -> Result<EntityUid, Unfit> {
    let identity = on.identity;
    let actor = identity.actor();
    let name = actor.map_or(identity.login.as_str(), |l| l.name.as_str());
    let human = identity.chain.iter().find(|l| l.kind == IdentityKind::Human);
    let kind = on.kind();
    let mut parents = HashSet::new();
    for group in &compiled.groups {
        if group.members.iter().any(|m| m.matches_member(name)) {
            parents.insert(uid(NAMES.group.as_ref(), &group.name)?);
        }
    }
    // `ISSUER/GROUP`: no group of these files has a slash in its name.
    for group in &identity.groups {
        parents.insert(uid(NAMES.group.as_ref(), group)?);
    }
    let attributes = HashMap::from([
        ("name".to_owned(), text(name)),
        ("login".to_owned(), text(&identity.login)),
        ("human".to_owned(), text(human.map_or("", |l| &l.name))),
        ("owner".to_owned(), text(identity.owner.as_deref().unwrap_or_default())),
        ("kind".to_owned(), text(kind.word())),
        ("agent".to_owned(), RestrictedExpression::new_bool(kind == IdentityKind::Agent)),
    ]);
    let principal = uid(NAMES.identity.as_ref(), name)?;
    put(known, principal.clone(), attributes, parents)?;
    Ok(principal)
}

fn context(compiled: &Compiled, on: &Situation<'_>, labels: &[String]) -> Result<Context, Unfit> {
    // Only settings are asked about it.
    let read_only =
        !on.facts.settings.is_empty() && !compiled.may_change(on.identity, on.target, on.database);
    let open = compiled.windows.iter().enumerate().filter(|(i, _)| on.windows & 1 << i != 0);
    let mut pairs = vec![
        ("target".to_owned(), text(on.target)),
        ("target_labels".to_owned(), set(labels.iter().map(String::as_str))),
        ("database".to_owned(), text(on.database)),
        ("role".to_owned(), text(on.role)),
        ("application".to_owned(), text(on.application)),
        ("effects".to_owned(), set(on.effects.iter().map(Effect::word))),
        ("read_only".to_owned(), RestrictedExpression::new_bool(read_only)),
        ("unbounded".to_owned(), RestrictedExpression::new_bool(on.facts.unbounded)),
        ("windows".to_owned(), set(open.map(|(_, w)| w.name.as_str()))),
    ];
    if let Some(opaque) = &on.facts.opaque {
        pairs.push(("opaque".to_owned(), text(opaque.why)));
    }
    if let Some(rows) = on.estimated_rows.or_else(|| touches_none(on)) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        pairs.push(("estimated_rows".to_owned(), RestrictedExpression::new_long(rows)));
    }
    if on.granted {
        // Rules call a grant by its target.
        pairs.push(("grant".to_owned(), text(on.target)));
    }
    if on.approved {
        let approval =
            RestrictedExpression::new_record([("group".to_owned(), text(""))]).map_err(|_| Unfit)?;
        pairs.push(("approval".to_owned(), approval));
    }
    Context::from_pairs(pairs).map_err(|_| Unfit)
}

/// What neither reads nor changes a relation touches no rows.
fn touches_none(on: &Situation<'_>) -> Option<u64> {
    let quiet = [Effect::Read, Effect::Session, Effect::Transaction];
    let only = on.effects.iter().all(|e| quiet.contains(&e));
    (only && on.facts.reads.is_empty() && on.facts.writes.is_empty()).then_some(0)
}

/// The word of a kind of relation.
pub(crate) fn kind_word(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Table => "table",
        RelationKind::Temporary => "temporary",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized-view",
        RelationKind::Foreign => "foreign",
        RelationKind::Sequence => "sequence",
        RelationKind::Other => "other",
        RelationKind::Unknown => "unknown",
    }
}
