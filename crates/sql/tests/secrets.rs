//! Secrets in statements and what is left of them, as a table: `tests/secrets.txt`.

use firsthand_sql::{mask, mask_connection, mask_message, mask_report};

#[test]
fn table_of_secrets() {
    let cases = include_str!("secrets.txt");
    let mut wrong = Vec::new();
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty() && !case.starts_with("##"))
    {
        let (text, want) = case.split_once('\n').unwrap_or((case, ""));
        let text = text.replace("\\n", "\n");
        let masked = mask(&text);
        let got = masked.as_ref().map_or_else(|| "=".to_owned(), |masked| masked.text.replace('\n', "\\n"));
        let leaks = ["geheim", "heim", "gehe", "12345"].iter().any(|word| got.contains(word));
        if got != want || leaks {
            let leaks = if leaks { "LEAKS " } else { "" };
            wrong.push(format!("{}\n{leaks}{got}\n", text.replace('\n', "\\n")));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ; now:\n\n{}", wrong.len(), wrong.join("\n"));
}

/// Parameters stand for strings: those that would be taken out are secrets.
#[test]
fn parameters_in_a_secrets_place_are_secrets() {
    for (text, want) in [
        ("select crypt($1, gen_salt('bf'))", &[1][..]),
        ("insert into u (name, password) values ($1, crypt($2::text, gen_salt('bf', 8)))", &[2]),
        ("select id from u where name = $1 and password = crypt($2, password)", &[2]),
        ("select crypt(trim(both from ($3)), $2), $1", &[3]),
        ("select set_config('app.api_key', $1, $2)", &[1]),
        ("select set_config('app.tenant', $1, true)", &[]),
        ("select pgp_sym_encrypt($1, $2), hmac($3, $4, 'sha256')", &[2, 4]),
        ("select vault.create_secret($1, $2)", &[1]),
        ("select * from login(name => $1, password => $2)", &[2]),
        ("select f(secret := $64), $65", &[64, 65]),
        ("update users set password = $1 where token = $2", &[]),
        ("do 'begin perform crypt($1, gen_salt(''bf'')); end'", &[]),
        ("select $1, 'key'", &[]),
    ] {
        let found = firsthand_sql::mask_all(text).1;
        let found: Vec<usize> = (1..=65).filter(|n| found.has(n - 1)).collect();
        assert_eq!(found, want, "{text}");
    }
}

#[test]
fn messages_lose_what_the_text_lost() {
    let masked = mask("ALTER ROLE r PASSWORD 'ge'heim x' SELEC").unwrap();
    for (message, want) in [
        ("syntax error at or near \"heim\"", Some("syntax error at or near \"***\"")),
        ("syntax error at or near \"SELEC\"", Some("syntax error at or near \"***\"")),
        ("role \"root\" does not exist", None),
        ("syntax error", None),
    ] {
        assert_eq!(mask_message(message, &masked).as_deref(), want, "{message}");
    }
    let masked = mask("SELECT dblink('password=geheim')").unwrap();
    let message = "could not connect: password=geheim";
    assert_eq!(mask_message(message, &masked).as_deref(), Some("could not connect: password=***"));
}

#[test]
fn reports_lose_what_they_quote() {
    for (field, want) in [
        (
            "SQL statement \"alter role r password 'geheim'\"\nPL/pgSQL function f() line 1 at EXECUTE",
            Some("SQL statement \"alter role r password '***'\"\nPL/pgSQL function f() line 1 at EXECUTE"),
        ),
        ("can't run \"alter role r password 'geheim'\"", Some("can't run \"alter role r password '***'\"")),
        (
            "SQL statement \"alter role r password #geheim\"",
            Some("SQL statement \"alter role r password ***"),
        ),
        ("SQL-Anweisung »alter role r password !geheim«", Some("SQL-Anweisung »alter role r password ***")),
        ("alter role \"r\" pasword 'geheim'", Some("alter role \"r\" pasword '***'")),
        ("could not connect: host=h pass=geheim", Some("could not connect: host=h pass=***")),
        ("postgres://u:geheim@h/d refused", Some("postgres://u:***@h/d refused")),
        ("password authentication failed for user \"bob\"", None),
        ("duplicate key value violates unique constraint \"u\"", None),
        ("To change another role's password, the current user must have it.", None),
        ("Key (key)=(5) already exists.", None),
    ] {
        assert_eq!(mask_report(field).map(|masked| masked.text).as_deref(), want, "{field}");
    }
    let query = mask_report("alter role r password !geheim").unwrap();
    let message = "syntax error at or near \"geheim\"";
    assert_eq!(mask_message(message, &query).as_deref(), Some("syntax error at or near \"***\""));
}

#[test]
fn connection_strings_lose_their_credentials() {
    for (text, want) in [
        ("host=x password=geheim", Some("host=x password=***")),
        ("host = x pass = 'ge heim' dbname=d", Some("host = x pass = *** dbname=d")),
        ("postgres://u:geheim@h/d", Some("postgres://u:***@h/d")),
        ("postgres://h/d?user=u&password=geheim", Some("postgres://h/d?user=u&password=***")),
        ("the password is long", None),
        ("https://example.org/a", None),
        ("plain", None),
    ] {
        assert_eq!(mask_connection(text).as_deref(), want, "{text}");
    }
}
