//! RETURNING, put into texts: where it goes, what stays, what is left alone.

#![expect(clippy::unwrap_used, reason = "a test")]

use firsthand_sql::{Analyzer, Change, Changes, STACK_BYTES, Settings, quoted, with_returning};

/// The text with `RETURNING` of these columns; or why not.
fn rewritten(analyzer: &Analyzer, text: &str, columns: &[&str]) -> String {
    let analysis = analyzer.analyze(text.as_bytes(), Settings::default());
    let [only] = analysis.statements() else { return "several".to_owned() };
    match only.changes.as_deref() {
        None => "nothing".to_owned(),
        Some(Changes::Untold(why, _)) => (*why).to_owned(),
        Some(Changes::Rows(change)) => with_returning(text.as_bytes(), change, &items(change, columns))
            .map_or("not the same".to_owned(), |text| String::from_utf8(text).unwrap()),
    }
}

/// These columns as items.
fn items(change: &Change, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|c| format!("{}.{}", quoted(change.qualifier()), quoted(c))).collect()
}

fn on_a_deep_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

#[test]
fn the_list_goes_behind_the_last_token_and_nothing_else_changes() {
    on_a_deep_stack(|| {
        let analyzer = Analyzer::new();
        for (text, want) in [
            ("DELETE FROM t", r#"DELETE FROM t RETURNING "t"."id""#),
            ("delete from t where id = 1 ; ", r#"delete from t where id = 1 RETURNING "t"."id" ; "#),
            (
                "/* a */ DELETE FROM S.t -- b\n;-- c",
                r#"/* a */ DELETE FROM S.t RETURNING "t"."id" -- b
;-- c"#,
            ),
            (
                "DELETE FROM t AS \"X\"\"y\" USING u WHERE u.id = 2/* RETURNING */",
                r#"DELETE FROM t AS "X""y" USING u WHERE u.id = 2 RETURNING "X""y"."id"/* RETURNING */"#,
            ),
            (
                "UPDATE ONLY t SET a = $1 WHERE b = $2",
                r#"UPDATE ONLY t SET a = $1 WHERE b = $2 RETURNING "t"."id""#,
            ),
            ("UPDATE t SET a = 'x' RETURNING a, b c", r#"UPDATE t SET a = 'x' RETURNING a, b c, "t"."id""#),
            ("INSERT INTO Ä VALUES (1)", r#"INSERT INTO Ä VALUES (1) RETURNING "Ä"."id""#),
            ("INSERT INTO t DEFAULT VALUES", r#"INSERT INTO t DEFAULT VALUES RETURNING "t"."id""#),
            (
                "INSERT INTO t AS n VALUES ($$ ; -- $$) ON CONFLICT DO NOTHING",
                r#"INSERT INTO t AS n VALUES ($$ ; -- $$) ON CONFLICT DO NOTHING RETURNING "n"."id""#,
            ),
            (
                "WITH x AS (SELECT 1) DELETE FROM t WHERE id IN (TABLE x) RETURNING *",
                r#"WITH x AS (SELECT 1) DELETE FROM t WHERE id IN (TABLE x) RETURNING *, "t"."id""#,
            ),
            ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "merge"),
            ("WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d", "cte"),
            ("EXPLAIN ANALYZE DELETE FROM t", "explain"),
            ("EXPLAIN DELETE FROM t", "nothing"),
            ("COPY t FROM STDIN", "copy"),
            ("COPY t TO STDOUT", "nothing"),
            ("COPY (DELETE FROM t RETURNING 1) TO STDOUT", "cte"),
            ("COPY (WITH x AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM x) TO STDOUT", "cte"),
            ("CREATE TABLE n AS WITH x AS (DELETE FROM t RETURNING 1) SELECT 1 FROM x", "cte"),
            ("CREATE TABLE n AS SELECT 1", "nothing"),
            ("TRUNCATE t", "truncate"),
            ("DO 'begin end'", "opaque"),
            ("SELECT 1", "nothing"),
            ("DELETE FROM t; DELETE FROM u", "several"),
        ] {
            assert_eq!(rewritten(&analyzer, text, &["id"]), want, "{text}");
            // And again from memory.
            assert_eq!(rewritten(&analyzer, text, &["id"]), want, "{text}");
        }
    });
}

#[test]
fn what_is_shared_between_literals_fits_each_of_them() {
    on_a_deep_stack(|| {
        let analyzer = Analyzer::new();
        for (text, want) in [
            ("DELETE FROM t WHERE a = 'x'", r#"DELETE FROM t WHERE a = 'x' RETURNING "t"."id", "t"."A b""#),
            (
                "DELETE FROM t WHERE a = 'longer' ;",
                r#"DELETE FROM t WHERE a = 'longer' RETURNING "t"."id", "t"."A b" ;"#,
            ),
        ] {
            assert_eq!(rewritten(&analyzer, text, &["id", "A b"]), want);
        }
    });
}

#[test]
fn changes_inside_and_upserts_are_seen() {
    on_a_deep_stack(|| {
        let analyzer = Analyzer::new();
        for (text, nested, upserts) in [
            ("DELETE FROM t", false, false),
            ("WITH d AS (DELETE FROM u RETURNING *) INSERT INTO t TABLE d", true, false),
            ("WITH d AS (SELECT 1) INSERT INTO t TABLE d", false, false),
            ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2", false, true),
        ] {
            let analysis = analyzer.analyze(text.as_bytes(), Settings::default());
            let changes = analysis.statements().first().unwrap().changes.clone().unwrap();
            let Changes::Rows(change) = &*changes else { unreachable!("{text}") };
            assert_eq!((change.nested, change.upserts), (nested, upserts), "{text}");
        }
    });
}

#[test]
fn a_list_of_its_own_is_counted_unless_it_depends_on_the_table() {
    on_a_deep_stack(|| {
        let analyzer = Analyzer::new();
        for (text, want) in [
            ("DELETE FROM t", None),
            ("DELETE FROM t RETURNING a, t.b + 1, t", Some(3)),
            ("UPDATE t SET a = 1 RETURNING *", None),
            ("INSERT INTO t VALUES (1) RETURNING a, t.*", None),
            ("INSERT INTO t VALUES (1) RETURNING (t).*", None),
            ("INSERT INTO t VALUES (1) RETURNING (c).d", Some(1)),
        ] {
            let analysis = analyzer.analyze(text.as_bytes(), Settings::default());
            let changes = analysis.statements().first().unwrap().changes.clone().unwrap();
            let Changes::Rows(change) = &*changes else { unreachable!("{text}") };
            assert_eq!(change.own_columns, want, "{text}");
        }
    });
}

#[test]
fn only_items_that_are_what_they_seem_are_added() {
    on_a_deep_stack(|| {
        let analyzer = Analyzer::new();
        let text = "DELETE FROM t WHERE a = 1";
        let analysis = analyzer.analyze(text.as_bytes(), Settings::default());
        let changes = analysis.statements().first().unwrap().changes.clone().unwrap();
        let Changes::Rows(change) = &*changes else { unreachable!() };
        for (item, fits) in [
            ("ROW(t.a, t.b)", true),
            ("CASE WHEN true THEN ROW(t.a) ELSE ROW() END", true),
            ("(SELECT ROW(o.a) FROM t o)", true),
            ("f(t)", false),
            ("t.a AS b", false),
            ("t.a; DROP TABLE t", false),
            ("t.a, t.b", false),
        ] {
            let rewritten = with_returning(text.as_bytes(), change, &[item.to_owned()]);
            assert_eq!(rewritten.is_some(), fits, "{item}");
        }
    });
}
