//! RETURNING, put into texts: where it goes, what stays, what is left alone.

#![expect(clippy::unwrap_used, reason = "a test")]

use firsthand_sql::{Analyzer, Changes, STACK_BYTES, Settings, with_returning};

/// The text with `RETURNING` of these columns; or why not.
fn rewritten(analyzer: &Analyzer, text: &str, columns: &[&str]) -> String {
    let analysis = analyzer.analyze(text.as_bytes(), Settings::default());
    let [only] = analysis.statements() else { return "several".to_owned() };
    match only.changes.as_deref() {
        None => "nothing".to_owned(),
        Some(Changes::Untold(why)) => (*why).to_owned(),
        Some(Changes::Rows(change)) => with_returning(text.as_bytes(), change, columns, None)
            .map_or("not the same".to_owned(), |text| String::from_utf8(text).unwrap()),
    }
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
