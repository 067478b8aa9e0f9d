//! `set_config`: which settings a statement changes by calling it, and to what.

use firsthand_model::command::Effect;
use pg_query::protobuf::{self, a_const::Val, node::Node as NodeEnum};

use super::sequel::{Sequel, Setting};
use super::{Resolver, name_of, naming};
use crate::catalog::PG_CATALOG;

/// A call of `set_config` with nothing but constants.
struct Config {
    name: String,
    values: Vec<String>,
    local: bool,
}

impl Resolver<'_> {
    /// A call of PostgreSQL's own `set_config`, wherever it stands.
    pub(super) fn set_config(&mut self, nodes: &[protobuf::Node]) {
        self.literal = true;
        self.found.effect(Effect::Session);
        let named = nodes.first().and_then(naming::string).map(str::to_ascii_lowercase);
        let row = || nodes.first().filter(|n| naming::single_name(n) == Some("name"));
        match named.or_else(|| row().and(self.setting_row.clone())) {
            Some(name) => self.found.setting(&name),
            None => self.found.opaque("dynamic-sql", "set_config"),
        }
    }

    /// A setting is shown by its name. One that holds a secret is read from where it is written down.
    pub(super) fn shows_setting(&mut self, name: &str) {
        if crate::settings::is_secret(name) {
            self.system_relation("pg_file_settings");
        }
    }

    /// A call of `current_setting`: what it shows, where that is a constant.
    pub(super) fn current_setting(&mut self, nodes: &[protobuf::Node]) {
        if let Some(name) = nodes.first().and_then(naming::string) {
            self.literal = true;
            self.shows_setting(name);
        }
    }

    /// A setting whose new value is known. No limit of time, where the session began with none, is what it began with.
    pub(super) fn sets(&mut self, name: &str, values: &[String]) {
        let limit = matches!(name, "statement_timeout" | "transaction_timeout");
        let none = limit && crate::settings::written_list(name, values).ends_with("=0");
        if none && self.state.begins_unlimited() {
            self.found.setting_reset(name);
        } else {
            self.found.setting_to(name, values);
        }
    }

    /// What the calls of a SELECT leave behind. `SELECT set_config('name', 'value', local), …` and nothing else: what they set
    /// is known. Anywhere else they may run or not.
    pub(super) fn set_configs(&mut self, it: &protobuf::SelectStmt) -> Sequel {
        if self.found.settings.is_empty() {
            return Sequel::Nothing;
        }
        // A function of somebody's that calls it in its body has the name of a setting here, too.
        let only = self.found.has_only_function("pg_catalog.set_config");
        let configs: Option<Vec<Config>> = it.target_list.iter().map(config).collect();
        if let (Some(configs), true, true) = (configs, only, is_plain(it))
            && !has_doubles(&configs)
        {
            let sets = configs.into_iter().map(|it| {
                self.sets(&it.name, &it.values);
                Sequel::Set { name: it.name, value: Setting::To(it.values), local: it.local }
            });
            let mut sets: Vec<Sequel> = sets.collect();
            return if sets.len() == 1 { sets.remove(0) } else { Sequel::Several(sets) };
        }
        let unknown = |setting: &String| {
            let name = setting.split('=').next().unwrap_or_default().to_owned();
            Sequel::Set { name, value: Setting::Unknown, local: false }
        };
        let left = Sequel::Several(self.found.settings.iter().map(unknown).collect());
        if let (Some(row), [target]) = (self.setting_row.clone(), it.target_list.as_slice())
            && self.found.settings.as_slice() == [row.as_str()]
            && let Some(value) = arguments(target).and_then(|list| list.get(1)).and_then(naming::string)
        {
            // It runs once or, where the server has no such setting, not at all.
            self.found.setting_to(&row, &crate::settings::of_text(&row, value));
        }
        left
    }

    /// `SELECT set_config(name, 'value', local) FROM pg_settings WHERE name = 'this'` and nothing else: `name` is that text in
    /// every row. So pg_dump sets what only newer servers have.
    pub(super) fn one_setting(&mut self, it: &protobuf::SelectStmt) -> Option<String> {
        let ([target], [from]) = (it.target_list.as_slice(), it.from_clause.as_slice()) else { return None };
        let [name, value, local] = arguments(target)? else { return None };
        let constant = naming::string(value).is_some() && boolean(local).is_some();
        // Another schema's `=` could mean something else.
        let catalog_first = self.path.is_certain() && self.path.schemas().next() == Some(PG_CATALOG);
        if !constant || naming::single_name(name) != Some("name") || !catalog_first || !has_no_more(it) {
            return None;
        }
        let Some(NodeEnum::RangeVar(from)) = &from.node else { return None };
        let Some(NodeEnum::AExpr(condition)) = &it.where_clause.as_deref()?.node else { return None };
        let equals =
            condition.kind() == protobuf::AExprKind::AexprOp && name_of(&condition.name) == (None, "=");
        let left = condition.lexpr.as_deref().and_then(naming::single_name) == Some("name");
        let right = condition.rexpr.as_deref().and_then(naming::string)?;
        let schema = Some(from.schemaname.as_str()).filter(|s| !s.is_empty());
        let relation = self.find_relation(schema, &from.relname)?;
        let known = &*relation.name == "pg_settings" && &*relation.schema == "pg_catalog";
        (known && equals && left && from.alias.is_none()).then(|| right.to_ascii_lowercase())
    }
}

/// Whether nothing decides whether, or how often, its targets are evaluated.
fn is_plain(it: &protobuf::SelectStmt) -> bool {
    it.from_clause.is_empty() && it.where_clause.is_none() && has_no_more(it)
}

/// Whether it has nothing beside its targets, FROM and WHERE.
fn has_no_more(it: &protobuf::SelectStmt) -> bool {
    it.limit_count.is_none()
        && it.limit_offset.is_none()
        && it.having_clause.is_none()
        && it.with_clause.is_none()
        && it.group_clause.is_empty()
        && it.sort_clause.is_empty()
        && it.distinct_clause.is_empty()
        && it.window_clause.is_empty()
        && it.locking_clause.is_empty()
        && it.larg.is_none()
}

fn has_doubles(configs: &[Config]) -> bool {
    configs
        .iter()
        .enumerate()
        .any(|(at, one)| configs.iter().skip(at + 1).any(|other| other.name == one.name))
}

/// The arguments of a target that is a call of `set_config`.
fn arguments(target: &protobuf::Node) -> Option<&[protobuf::Node]> {
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return None };
    let Some(NodeEnum::FuncCall(call)) = &target.val.as_deref()?.node else { return None };
    let (schema, name) = name_of(&call.funcname);
    (name == "set_config" && schema.is_none_or(|s| s == "pg_catalog")).then_some(&call.args)
}

fn config(target: &protobuf::Node) -> Option<Config> {
    let [name, value, local] = arguments(target)? else { return None };
    let (name, value) = (naming::string(name)?.to_ascii_lowercase(), naming::string(value)?);
    let values = crate::settings::of_text(&name, value);
    Some(Config { name, values, local: boolean(local)? })
}

fn boolean(node: &protobuf::Node) -> Option<bool> {
    match node.node.as_ref()? {
        NodeEnum::AConst(it) => match &it.val {
            Some(Val::Boolval(it)) => Some(it.boolval),
            Some(Val::Sval(it)) => match it.sval.to_ascii_lowercase().as_str() {
                "t" | "true" | "on" | "yes" | "1" => Some(true),
                "f" | "false" | "off" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        },
        NodeEnum::TypeCast(it) => boolean(it.arg.as_deref()?),
        _ => None,
    }
}
