//! What the analysis says of statements, as a table: `tests/analysis.txt`.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use firsthand_sql::{Analyzer, Settings, analyze};

/// One line per statement of a text: `tag | effects | tables | read or not | text`.
fn told(text: &str) -> Vec<String> {
    let analysis = analyze(text.as_bytes(), Settings::default());
    let line = |statement: &firsthand_sql::Statement| {
        let shape = &statement.shape;
        let effects: Vec<_> = shape.effects.iter().map(|effect| effect.word()).collect();
        let read = if shape.plain_read { "plain" } else { "-" };
        let place = text.get(statement.range(text.as_bytes())).unwrap();
        let coverage = shape.coverage.join(" ");
        [
            &shape.tag,
            &effects.join(" "),
            &shape.tables.join(" "),
            read,
            &coverage,
            &place.replace('\n', "\\n"),
        ]
        .map(|part| if part.is_empty() { "-" } else { part })
        .join(" | ")
    };
    analysis.statements().iter().map(line).collect()
}

#[test]
fn table_of_statements() {
    let cases = include_str!("analysis.txt");
    let mut wrong = Vec::new();
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty() && !case.starts_with("##"))
    {
        let mut lines = case.lines().filter(|line| !line.starts_with("# "));
        let text = lines.next().unwrap().replace("\\n", "\n");
        let want: Vec<_> = lines.map(str::to_owned).collect();
        let got = told(&text);
        if got != want {
            wrong.push(format!("{text}\n{}\n", got.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ; now:\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn remembered_analysis_is_the_same() {
    let analyzer = Analyzer::new();
    for text in
        ["SELECT 1", "  SELECT 22 ;", "select * from t where a='x'", "insert into t values (1, 'a', 2.5)"]
    {
        let fresh = analyze(text.as_bytes(), Settings::default());
        for _ in 0..2 {
            let known = analyzer.analyze(text.as_bytes(), Settings::default());
            assert_eq!(known.statements().len(), fresh.statements().len());
            for (a, b) in known.statements().iter().zip(fresh.statements()) {
                assert_eq!(a.shape, b.shape);
                assert_eq!(a.range(text.as_bytes()), b.range(text.as_bytes()), "{text}");
            }
        }
    }
}
