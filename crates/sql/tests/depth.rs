//! Texts that nest or run on without end: a tree or a clean "unparsed", on the stack that the crate asks for.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use firsthand_sql::{
    Analysis, STACK_BYTES, STATEMENTS_MAX, Settings, TEXT_BYTES_MAX, Unparsed, analyze, mask,
    mask_connection, mask_report,
};

fn analyze_deep(text: String) -> Analysis {
    let run = move || analyze(text.as_bytes(), Settings::default());
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

#[test]
fn every_nesting_ends() {
    for depth in [50, 1_600, 30_000] {
        let shapes = [
            format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth)),
            format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth)),
            format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(depth), ") q".repeat(depth)),
            format!("SELECT * FROM t WHERE a = 1{}", " OR a = 1".repeat(depth)),
            format!("SELECT 1{}", " + 1".repeat(depth)),
            format!("SELECT a{}", "||a".repeat(depth)),
            format!("SELECT {} a", "NOT ".repeat(depth)),
            format!("SELECT {}1", "- ".repeat(depth)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(depth)),
            format!("SELECT {}1{}", "f(".repeat(depth), ")".repeat(depth)),
            format!("SELECT {}1{}", "CASE WHEN ".repeat(depth), " THEN 1 END".repeat(depth)),
            format!("SELECT {}1{}", "ARRAY[".repeat(depth), "]".repeat(depth)),
            format!("SELECT a{}", "[1]".repeat(depth)),
            format!("SELECT a{}", "::int".repeat(depth)),
            format!("SELECT * FROM t{}", " JOIN t ON true".repeat(depth)),
            format!("{}SELECT 1{}", "WITH a AS (".repeat(depth), ") SELECT 1".repeat(depth)),
            format!("{}SELECT 1", "EXPLAIN ".repeat(depth)),
            format!("SELECT 1{}", ";SELECT 1".repeat(depth)),
            format!("INSERT INTO t VALUES (1){}", ",(1)".repeat(depth)),
            format!("{}1", "/*".repeat(depth)),
            format!("SELECT 1 @{}1", "/*@".repeat(depth)),
            "(".repeat(depth),
        ];
        for text in shapes {
            let start: String = text.chars().take(30).collect();
            let started = std::time::Instant::now();
            let analysis = analyze_deep(text);
            assert!(!analysis.statements().is_empty(), "{start}");
            println!("{depth} {start}: {:?} {:?}", analysis.unparsed(), started.elapsed());
        }
    }
}

#[test]
fn ordinary_length_parses() {
    for text in [
        format!("SELECT * FROM t WHERE a = 1{}", " OR a = 1".repeat(20_000)),
        format!("SELECT a{} FROM t", " || b".repeat(1_000)),
        format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT * FROM t WHERE a IN (1{})", ", 1".repeat(100_000)),
    ] {
        let analysis = analyze_deep(text);
        assert_eq!(analysis.unparsed(), None);
        assert!(analysis.plain_read());
    }
}

#[test]
fn unreadable_texts_are_one_unknown_statement() {
    let with = |text: &[u8], settings| {
        let analysis = analyze(text, settings);
        assert_eq!(analysis.statements().len(), 1);
        assert_eq!(analysis.statements()[0].range(text), 0..text.len());
        assert!(!analysis.plain_read());
        analysis.unparsed().cloned().unwrap()
    };
    let usual = Settings::default();
    assert_eq!(with(b"SELECT 1\0", usual), Unparsed::Nul);
    assert_eq!(with(b"SELECT '\xff'", usual), Unparsed::Encoding);
    let latin = Settings { utf8: false, ..usual };
    assert_eq!(with("SELECT 'ö'".as_bytes(), latin), Unparsed::Encoding);
    assert!(analyze(b"SELECT 'o'", latin).plain_read());
    let escapes = Settings { standard_conforming_strings: false, ..usual };
    assert_eq!(with(br"SELECT '\'", escapes), Unparsed::Backslash);
    assert!(analyze(b"SELECT 'o'", escapes).plain_read());
    let long = vec![b' '; TEXT_BYTES_MAX + 1];
    assert_eq!(with(&long, usual), Unparsed::TooLong(TEXT_BYTES_MAX + 1));
    let many = ";SELECT 1".repeat(STATEMENTS_MAX);
    assert_eq!(analyze(many.as_bytes(), usual).statements().len(), STATEMENTS_MAX);
    assert_eq!(with(format!("{many};SELECT 1").as_bytes(), usual), Unparsed::TooMany(STATEMENTS_MAX + 1));
    assert_eq!(
        with(b"SELECT 1 FROM 'geheim'", usual),
        Unparsed::Syntax("syntax error at character 15".to_owned())
    );
}

#[test]
fn masking_is_linear() {
    for part in [
        "PASSWORD 'a'x ",
        "://a:b@ ",
        "password=",
        "$a",
        "$a$",
        "'password ",
        "/*token",
        "(key ",
        "E'\\",
        "x@y://",
        "create ",
        "alter role r ",
        "alter role r set password to ",
        "alter role r password (/**/",
        "alter role r password null ",
        "pass=",
        "\"password'",
    ] {
        let text = part.repeat(200_000);
        let started = std::time::Instant::now();
        let _ = (mask(&text), mask_report(&text), mask_connection(&text));
        assert!(started.elapsed().as_secs() < 60, "{part}: {:?}", started.elapsed());
    }
}
