//! Secrets in statements and what is left of them, as a table: `tests/secrets.txt`.

use firsthand_sql::{mask, mask_message};

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
