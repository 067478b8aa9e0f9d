//! The login roles that grants have of their own: made, ended and found again, over connections with the credential that makes
//! them. Whoever has this done has recorded it (invariant 12).
//!
//! A role is a member of one group, and has that group's privileges by inheriting them: so `session_user` and `current_user` are
//! the grant's own, and CONNECT, `pg_hba.conf` and row security see a member of the group. From PostgreSQL 16 on the role itself is
//! NOINHERIT, and its membership alone says INHERIT. Whoever makes it becomes a member of it, too: only members may end its
//! sessions and take over what it owns.
//!
//! At its end it loses the group first. What it has left that runs with its rights (SECURITY DEFINER) reaches nothing from then on,
//! whoever may run it, and however long the rest takes or fails. It is given the group again only where that is shut.

use std::fmt::Write as _;
use std::time::Duration;

use postgres_protocol::password::scram_sha_256;

use super::catalog::{Row, ask, connect, say_goodbye};
use crate::drive::line::Line;
use crate::protocol::{LEFTOVER, NewRole, Probe, RoleTask};
use crate::provisions::SHUT_NAMED;

/// Bytes of all answers of one connection: names of databases or roles.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// From this version on memberships say themselves whether they are inherited, and CREATEROLE alone gives no group away.
const PG_16: u32 = 160_000;
/// What is looked at until the sessions of a role are gone, 50 ms apart: a backend ends at its next look for interrupts.
const LOOKS: usize = 60;
/// Functions that are shut in one statement: few enough for one answer, many enough for a role that has left thousands.
const SHUT_AT_ONCE: usize = 500;
/// Characters of such a name.
const SHUT_CHARS: usize = 100;
/// Schemas that are looked at in one statement.
const OPENED_AT_ONCE: usize = 1_000;

/// Run first: names mean PostgreSQL's own, nothing waits for long, and texts are read as they are written.
const PREPARE: &str = "SET search_path TO pg_catalog; SET statement_timeout TO '8s'; SET lock_timeout TO '4s'; \
    SET idle_in_transaction_session_timeout TO '10s'; SET client_encoding TO 'UTF8'; SET standard_conforming_strings TO on; \
    SET default_transaction_read_only TO off; SET application_name TO 'firsthand roles'";

/// A name as an identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, where strings conform to the standard.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Does it.
pub(super) async fn done(with: Probe<'_>, task: RoleTask<'_>) -> Result<Vec<String>, String> {
    let (line, version) = connect(with).await?;
    let mut at = At { line, version, budget: ANSWER_BYTES_MAX };
    let answer = at.carry_out(task).await;
    // What is in a transaction that has failed goes with the connection.
    say_goodbye(at.line).await;
    answer
}

struct At {
    line: Line,
    version: u32,
    budget: usize,
}

impl At {
    async fn carry_out(&mut self, task: RoleTask<'_>) -> Result<Vec<String>, String> {
        self.ask(PREPARE).await?;
        match task {
            RoleTask::Make(role) => self.make(role).await,
            RoleTask::Close { name, mark } => self.close(name, mark).await,
            RoleTask::Shut { name, group } => self.shut_all(name, group).await,
            RoleTask::Disown { name, group, within } => self.disown(name, group, within).await,
            RoleTask::Drop { name, mark } => self.drop(name, mark).await,
            RoleTask::List { mark } => self.list(mark).await,
            RoleTask::Check { group } => self.check(group).await,
        }
    }

    async fn ask(&mut self, text: &str) -> Result<Vec<Row>, String> {
        ask(&mut self.line, text, &mut self.budget).await
    }

    /// The number of the role, where it is one of ours; `None`: there is none of this name.
    async fn own(&mut self, name: &str, mark: &str) -> Result<Option<String>, String> {
        let text = format!(
            "SELECT r.oid, COALESCE(shobj_description(r.oid, 'pg_authid'), '') FROM pg_roles r WHERE r.rolname = {}",
            literal(name)
        );
        let Some(row) = self.ask(&text).await?.into_iter().next() else { return Ok(None) };
        match row.as_slice() {
            [Some(oid), Some(comment)] if comment.starts_with(mark) && is_number(oid) => {
                Ok(Some(oid.clone()))
            }
            _ => Err(format!(
                "there is a role {name} that this Firsthand has not made (it has no comment that begins with `{mark}`): it is left alone"
            )),
        }
    }

    /// Makes it, where there is none of its name. No lock of ours is taken for that: one that clients can name, they can hold, too.
    /// The server itself lets one of two make a name.
    async fn make(&mut self, role: &NewRole<'_>) -> Result<Vec<String>, String> {
        let leftover = || Ok(vec![LEFTOVER.to_owned()]);
        if self.own(role.name, role.mark).await?.is_some() {
            return leftover();
        }
        let Err(why) = self.create(role).await else { return Ok(Vec::new()) };
        self.ask("ROLLBACK").await?;
        // Who came first is one of ours (of a gateway that was killed while it made it), or it failed for something else.
        if self.own(role.name, role.mark).await?.is_some() { leftover() } else { Err(why) }
    }

    async fn create(&mut self, role: &NewRole<'_>) -> Result<(), String> {
        self.ask("BEGIN").await?;
        self.may_be_group(role.group).await?;
        let until = self.moment(role.until.0).await?;
        for text in making(role, &until, self.version) {
            self.ask(&text).await?;
        }
        self.ask("COMMIT").await.map(drop)
    }

    /// A member of a superuser is one: it need only say so (SET ROLE).
    async fn may_be_group(&mut self, group: &str) -> Result<(), String> {
        let text = format!(
            "SELECT g.rolsuper OR EXISTS (SELECT FROM pg_roles s WHERE s.rolsuper AND pg_has_role(g.oid, s.oid, 'MEMBER')) \
             FROM pg_roles g WHERE g.rolname = {}",
            literal(group)
        );
        match first(self.ask(&text).await?).as_deref() {
            Some("f") => Ok(()),
            Some(_) => {
                Err(format!("role {group} is a superuser, or a member of one: nobody is made its member"))
            }
            None => Err(format!("there is no role {group}, whose member each grant's role would be")),
        }
    }

    /// A moment as the target writes it: the whole second before it, so never later.
    async fn moment(&mut self, us: u64) -> Result<String, String> {
        let text = format!(
            "SELECT to_char(to_timestamp({}) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
            us / 1_000_000
        );
        let said = first(self.ask(&text).await?).ok_or("the target does not write a time")?;
        Ok(format!("{said}+00"))
    }

    async fn close(&mut self, name: &str, mark: &str) -> Result<Vec<String>, String> {
        let Some(oid) = self.own(name, mark).await? else { return Ok(Vec::new()) };
        self.ask(&format!("ALTER ROLE {} NOLOGIN CONNECTION LIMIT 0 PASSWORD NULL", identifier(name)))
            .await?;
        self.leave(&oid).await?;
        self.end_sessions(&oid).await?;
        // What the last of its sessions may have given away in between.
        self.leave(&oid).await?;
        let text = format!(
            "SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d \
             ON d.oid = s.dbid OR (s.dbid = 0 AND d.datname = current_database()) \
             WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid} AND d.datallowconn"
        );
        Ok(names(self.ask(&text).await?))
    }

    /// It is no member of anything any more, and nobody but us is one of it.
    async fn leave(&mut self, oid: &str) -> Result<(), String> {
        for revoke in names(self.ask(&memberships(oid, self.version)).await?) {
            self.ask(&revoke).await?;
        }
        Ok(())
    }

    /// Ends them all, and waits until they are gone.
    async fn end_sessions(&mut self, oid: &str) -> Result<(), String> {
        let end =
            format!("SELECT pg_terminate_backend(s.pid) FROM pg_stat_activity s WHERE s.usesysid = {oid}");
        for _ in 0..LOOKS {
            if self.ask(&end).await?.is_empty() {
                return Ok(());
            }
            self.ask("SELECT pg_sleep(0.05)").await?;
        }
        Err("its sessions do not end".to_owned())
    }

    /// In a transaction of its own, which nothing that somebody does to what the role owns can keep from being committed. It has the
    /// group for that alone, because only that names what is in the group's schemas; nobody else ever sees that it has.
    async fn shut_all(&mut self, name: &str, group: &str) -> Result<Vec<String>, String> {
        self.ask("BEGIN").await?;
        self.join(name, group).await?;
        let opened = self.open(name, group, Opening::All).await?;
        let shut = self.shut(name).await?;
        for revoke in opened {
            self.ask(&revoke).await?;
        }
        self.ask(&format!("REVOKE {} FROM {}", identifier(group), identifier(name))).await?;
        self.ask("COMMIT").await?;
        Ok(shut)
    }

    /// Makes it a member of the group: whoever gives away what it owns to the group is a member of that by it.
    async fn join(&mut self, name: &str, group: &str) -> Result<(), String> {
        let with = membership(self.version);
        self.ask(&format!("GRANT {} TO {}{with}", identifier(group), identifier(name))).await.map(drop)
    }

    /// All of it or nothing: what is given away is so in one transaction.
    async fn disown(&mut self, name: &str, group: &str, within: Duration) -> Result<Vec<String>, String> {
        // Not in the transaction: from PostgreSQL 16 on it locks the group, and others are made its members meanwhile.
        self.join(name, group).await?;
        self.ask(&format!("SET statement_timeout TO {}", within.as_millis())).await?;
        self.ask("BEGIN").await?;
        let opened = self.open(name, group, Opening::Needed).await?;
        let shut = self.shut(name).await?;
        let name = identifier(name);
        self.ask(&format!("REASSIGN OWNED BY {name} TO {}", identifier(group))).await?;
        self.ask(&format!("DROP OWNED BY {name}")).await?;
        for revoke in opened {
            self.ask(&revoke).await?;
        }
        self.ask("COMMIT").await?;
        Ok(shut)
    }

    /// Takes EXECUTE from PUBLIC on its functions that run with their owner's rights: their owner will be the group, for good, and
    /// everybody could do by them what the grant was for. How many, and the names of some.
    async fn shut(&mut self, name: &str) -> Result<Vec<String>, String> {
        let (mut count, mut named) = (0usize, Vec::new());
        for (kinds, word) in [("'f', 'w'", "FUNCTION"), ("'p'", "PROCEDURE")] {
            let mut last = "0".to_owned();
            loop {
                // A role can have any number of them: each round has its own budget.
                self.budget = ANSWER_BYTES_MAX;
                let rows = self.ask(&open_functions(name, kinds, &last)).await?;
                let Some(Some(end)) = rows.last().and_then(|row| row.first()).cloned() else { break };
                last = end;
                count += rows.len();
                let cell = |n: usize| rows.iter().filter_map(move |row| row.get(n).cloned().flatten());
                let shown = cell(2).take(SHUT_NAMED.saturating_sub(named.len()));
                named.extend(shown.map(|name| name.chars().take(SHUT_CHARS).collect::<String>()));
                let list = cell(1).collect::<Vec<_>>().join(", ");
                self.ask(&format!("REVOKE EXECUTE ON {word} {list} FROM PUBLIC")).await?;
            }
        }
        Ok(if count == 0 { Vec::new() } else { std::iter::once(count.to_string()).chain(named).collect() })
    }

    /// Gives the group what it lacks in schemas of the role, and of all that the role is a member of (also by others): whoever may say
    /// what a schema's owner may do there could keep the role from being ended else, because who gets something there needs CREATE, and
    /// who names it USAGE. What takes it back.
    async fn open(&mut self, name: &str, group: &str, which: Opening) -> Result<Vec<String>, String> {
        let (mut again, mut last) = (Vec::new(), "0".to_owned());
        loop {
            self.budget = ANSWER_BYTES_MAX;
            let rows = self.ask(&closed_schemas(name, group, which, &last)).await?;
            let Some(Some(end)) = rows.last().and_then(|row| row.first()).cloned() else { return Ok(again) };
            last = end;
            for row in rows {
                let [_, Some(what), Some(owner), Some(stays), Some(inherits)] = row.as_slice() else {
                    continue;
                };
                // Who has a role only by SET ROLE has to say so.
                let (before, after) = match inherits.as_str() {
                    "t" => (String::new(), ""),
                    _ => (format!("SET LOCAL ROLE {owner}; "), "; RESET ROLE"),
                };
                let group = identifier(group);
                self.ask(&format!("{before}GRANT {what} TO {group}{after}")).await?;
                if stays == "f" {
                    again.push(format!("{before}REVOKE {what} FROM {group}{after}"));
                }
            }
        }
    }

    async fn drop(&mut self, name: &str, mark: &str) -> Result<Vec<String>, String> {
        self.ask("BEGIN").await?;
        let Some(oid) = self.own(name, mark).await? else { return Ok(Vec::new()) };
        self.end_sessions(&oid).await?;
        self.ask(&format!("DROP ROLE {}", identifier(name))).await?;
        self.ask("COMMIT").await?;
        Ok(vec![name.to_owned()])
    }

    async fn list(&mut self, mark: &str) -> Result<Vec<String>, String> {
        let text = format!(
            "SELECT r.rolname, shobj_description(r.oid, 'pg_authid') FROM pg_roles r \
             WHERE strpos(shobj_description(r.oid, 'pg_authid'), {}) = 1 ORDER BY 1",
            literal(mark)
        );
        let found = self.ask(&text).await?.into_iter().filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(comment)]) => {
                comment.strip_prefix(mark).map(|about| [name, about.to_owned()])
            }
            _ => None,
        });
        Ok(found.flatten().collect())
    }

    async fn check(&mut self, group: &str) -> Result<Vec<String>, String> {
        self.may_be_group(group).await?;
        let text = format!(
            "SELECT current_user, r.rolsuper, r.rolcreaterole, r.rolinherit, \
             pg_has_role(r.oid, {}, 'MEMBER WITH ADMIN OPTION') FROM pg_roles r WHERE r.rolname = current_user",
            literal(group)
        );
        let row = self.ask(&text).await?.into_iter().next().unwrap_or_default();
        let is = |n: usize| row.get(n).is_some_and(|said| said.as_deref() == Some("t"));
        let name = row.first().cloned().flatten().unwrap_or_default();
        let (quoted, quoted_group) = (identifier(&name), identifier(group));
        if is(1) {
            return Ok(vec![format!(
                "warning: role {name}, which makes the roles of grants, is a superuser: one with CREATEROLE is enough"
            )]);
        }
        if !is(2) {
            return Err(format!("role {name} may not make roles for grants: ALTER ROLE {quoted} CREATEROLE"));
        }
        if self.version >= PG_16 && !is(4) {
            return Err(format!(
                "role {name} may not make members of {group}: GRANT {quoted_group} TO {quoted} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"
            ));
        }
        if self.version < PG_16 && !is(3) {
            return Err(format!(
                "role {name} could not end the sessions of the roles that it makes: ALTER ROLE {quoted} INHERIT"
            ));
        }
        Ok(vec![format!("role {name} makes the roles of grants, as members of {group}")])
    }
}

/// Which schemas are opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// All, to name what is in them.
    All,
    /// The role's own, and those in which it owns something.
    Needed,
}

/// Asks for schemas in which the group lacks something: number, what is to be granted there, who owns it, whether it stays granted
/// (the schema will be the group's) and whether we have the owner's rights without SET ROLE. Those behind a number.
fn closed_schemas(name: &str, group: &str, which: Opening, after: &str) -> String {
    let (role, group) = (literal(name), literal(group));
    let (all, owns_in) = (
        which == Opening::All,
        "EXISTS (SELECT FROM pg_shdepend s \
        JOIN pg_depend d ON d.classid = s.classid AND d.objid = s.objid AND d.refclassid = 'pg_namespace'::regclass \
        WHERE d.refobjid = n.oid AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.deptype = 'o' \
        AND s.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))",
    );
    format!(
        "SELECT n.oid, concat_ws(', ', CASE WHEN NOT u.has THEN 'USAGE' END, CASE WHEN NOT c.has THEN 'CREATE' END) \
         || ' ON SCHEMA ' || quote_ident(n.nspname), quote_ident(o.rolname), o.oid = r.oid AND NOT {all}, \
         pg_has_role(o.oid, 'USAGE') \
         FROM pg_roles r CROSS JOIN pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner \
         CROSS JOIN LATERAL (SELECT has_schema_privilege({group}, n.oid, 'USAGE')) u (has) \
         CROSS JOIN LATERAL (SELECT has_schema_privilege({group}, n.oid, 'CREATE') OR {all}) c (has) \
         WHERE r.rolname = {role} AND n.oid > {after} AND pg_has_role(r.oid, o.oid, 'MEMBER') AND NOT (u.has AND c.has) \
         AND ({all} OR o.oid = r.oid OR {owns_in}) ORDER BY n.oid LIMIT {OPENED_AT_ONCE}"
    )
}

/// Asks for what takes a role's memberships from it, and from others that in it. From 16 on each is taken back by who gave it, and
/// none but we give any; before, any role could be given away by itself.
fn memberships(oid: &str, version: u32) -> String {
    let ours = match version >= PG_16 {
        true => "a.grantor = (SELECT c.oid FROM pg_roles c WHERE c.rolname = current_user)",
        false => "NOT g.rolsuper",
    };
    format!(
        "SELECT format('REVOKE %I FROM %I', g.rolname, m.rolname) FROM pg_auth_members a \
         JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member \
         WHERE (a.member = {oid} OR a.roleid = {oid} AND m.rolname <> current_user) AND {ours}"
    )
}

/// What is said of a role's membership: from 16 on it inherits by that alone.
fn membership(version: u32) -> &'static str {
    if version >= PG_16 { " WITH INHERIT TRUE, SET TRUE" } else { "" }
}

/// Asks for functions of a role that run with its rights and that everybody may run: number, how a statement names them, and how
/// they are told. Those of these kinds, behind a number.
fn open_functions(name: &str, kinds: &str, after: &str) -> String {
    format!(
        "SELECT p.oid, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.oid::regprocedure \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE p.prosecdef AND p.prokind IN ({kinds}) AND p.oid > {after} \
         AND p.proowner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = {}) \
         AND EXISTS (SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a \
         WHERE a.grantee = 0 AND a.grantor = p.proowner) ORDER BY p.oid LIMIT {SHUT_AT_ONCE}",
        literal(name)
    )
}

/// The statements that make a role. The password is in none of them: the target gets what proves it.
fn making(role: &NewRole<'_>, until: &str, version: u32) -> [String; 4] {
    let name = identifier(role.name);
    let own = if version >= PG_16 { "NOINHERIT" } else { "INHERIT" };
    let membership = membership(version);
    let verifier = scram_sha_256(role.password.expose().as_bytes());
    let mut create = format!("CREATE ROLE {name} LOGIN {own} CONNECTION LIMIT {}", role.connections);
    let _ = write!(create, " VALID UNTIL {} PASSWORD {}", literal(until), literal(&verifier));
    [
        create,
        format!("COMMENT ON ROLE {name} IS {}", literal(&format!("{}{}", role.mark, role.about))),
        format!("GRANT {} TO {name}{membership}", identifier(role.group)),
        format!("GRANT {name} TO CURRENT_USER{membership}"),
    ]
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn first(rows: Vec<Row>) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

fn names(rows: Vec<Row>) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use firsthand_model::time::UnixMicros;
    use firsthand_session::secret::Secret;

    use super::*;

    fn role<'a>(name: &'a str, group: &'a str, password: &'a Secret) -> NewRole<'a> {
        NewRole { name, group, password, until: UnixMicros(0), connections: 3, mark: "m ", about: "it's" }
    }

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(identifier("a\"; DROP ROLE b; --"), "\"a\"\"; DROP ROLE b; --\"");
        assert_eq!(literal("it's \\' so"), "'it''s \\'' so'");
        let password = Secret::new("p".to_owned());
        let made = making(&role("x\"y", "g\"h", &password), "2026-01-01 00:00:00+00", 150_000);
        assert!(made[0].starts_with("CREATE ROLE \"x\"\"y\" LOGIN INHERIT CONNECTION LIMIT 3 VALID UNTIL '2026-01-01 00:00:00+00' PASSWORD 'SCRAM-SHA-256$4096:"), "{made:?}");
        assert_eq!(made[1], "COMMENT ON ROLE \"x\"\"y\" IS 'm it''s'");
        assert_eq!(made[2], "GRANT \"g\"\"h\" TO \"x\"\"y\"");
        assert_eq!(made[3], "GRANT \"x\"\"y\" TO CURRENT_USER");
    }

    #[test]
    fn from_16_on_only_the_membership_is_inherited_and_the_password_is_in_no_statement() {
        let password = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
        for (version, own, membership) in
            [(150_000, " INHERIT ", false), (160_000, " NOINHERIT ", true), (180_000, " NOINHERIT ", true)]
        {
            let made = making(&role("x", "g", &password), "u", version);
            assert!(made[0].contains(own), "{made:?}");
            assert_eq!(made[2].ends_with(" WITH INHERIT TRUE, SET TRUE"), membership, "{made:?}");
            assert!(made.iter().all(|text| !text.contains(password.expose())), "{made:?}");
        }
        let verifiers = || making(&role("x", "g", &password), "u", 150_000)[0].clone();
        assert_ne!(verifiers(), verifiers(), "each has a salt of its own");
    }
}
