//! The tree as the rules see it: text files, and Rust files as tokens with lines, functions and test regions.
//! Only the lexer of `proc-macro2` is used: rules look at words, and a macro's body counts as much as any other.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{collections::BTreeSet, fs, path::Path, str::FromStr};

/// Folders that hold nothing of ours.
const SKIPPED_FOLDERS: &[&str] =
    &["target", ".git", "node_modules", "corpus", "artifacts", "__pycache__", "venv"];
/// Endings of the files that are read; files without an ending are read too (scripts).
const TEXT_ENDINGS: &[&str] =
    &["rs", "toml", "md", "sh", "py", "js", "mjs", "json", "yml", "yaml", "service", "sql", "txt", "java"];
/// Larger files are data, not text that a person wrote.
const TEXT_BYTES_MAX: u64 = 2 << 20;

/// Every text file of the workspace.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One text file.
pub(super) struct File {
    /// Path from the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Tokens of a Rust file, doc comments left out.
    pub(super) tokens: Vec<Token>,
    /// Why a Rust file could not be read as tokens.
    pub(super) broken: Option<String>,
}

/// A token with what the rules ask about it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) line: usize,
    /// Inside a `#[cfg(test)]` item or a `#[test]` function, or in a file of tests.
    pub(super) test: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Literal,
    Punct,
    Open,
    Close,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) last_line: usize,
}

impl Tree {
    /// Reads every text file below `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut tree = Self { files };
        tree.mark_test_files();
        Ok(tree)
    }

    /// A tree of the given files, for the tests of the rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files =
            files.iter().map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned())).collect();
        let mut tree = Self { files };
        tree.mark_test_files();
        tree
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.is_rust())
    }

    /// A module declared under `#[cfg(test)]` lives in another file: everything there is test code.
    fn mark_test_files(&mut self) {
        let mut roots = BTreeSet::new();
        for file in self.files.iter().filter(|f| f.is_rust()) {
            for name in test_modules(&file.tokens) {
                let folder = module_folder(&file.path);
                roots.insert(format!("{folder}/{name}.rs"));
                roots.insert(format!("{folder}/{name}/"));
            }
        }
        for file in &mut self.files {
            let declared =
                roots.iter().any(|r| file.path == *r || (r.ends_with('/') && file.path.starts_with(r)));
            if declared || is_test_path(&file.path) {
                file.tokens.iter_mut().for_each(|t| t.test = true);
            }
        }
    }
}

impl File {
    pub(super) fn new(path: String, text: String) -> Self {
        let mut file = Self { path, text, tokens: Vec::new(), broken: None };
        if file.is_rust() {
            match TokenStream::from_str(&file.text) {
                Ok(stream) => {
                    flatten(stream, &mut file.tokens);
                    mark_test_items(&mut file.tokens);
                }
                Err(e) => file.broken = Some(e.to_string()),
            }
        }
        file
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Every function with a body, in order, with the lines from `fn` to the closing brace.
    pub(super) fn functions(&self) -> Vec<Function> {
        let tokens = &self.tokens;
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let Some(name) = tokens.get(at + 1) else { break };
            if token.kind != Kind::Word || token.text != "fn" || name.kind != Kind::Word {
                continue;
            }
            if let Some(open) = body_of(tokens, at + 2)
                && let Some(close) = closing(tokens, open)
            {
                let last_line = tokens.get(close).map_or(token.line, |t| t.line);
                found.push(Function { name: name.text.clone(), line: token.line, last_line });
            }
        }
        found
    }

    /// Start of each place where these tokens follow one another.
    pub(super) fn find<'a>(&'a self, pattern: &'a [&'a str]) -> impl Iterator<Item = &'a Token> + 'a {
        self.tokens
            .windows(pattern.len().max(1))
            .filter(move |w| w.iter().zip(pattern).all(|(t, p)| t.text == *p))
            .filter_map(|w| w.first())
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("read folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo" && name != ".github";
            if !hidden && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
            continue;
        }
        let is_text = match name.rsplit_once('.') {
            Some((_, ending)) => TEXT_ENDINGS.contains(&ending),
            None => name != "LICENSE",
        };
        if !kind.is_file() || !is_text || entry.metadata()?.len() > TEXT_BYTES_MAX {
            continue;
        }
        // What is not UTF-8 is test data.
        if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(File::new(relative, text));
        }
    }
    Ok(())
}

/// Files that hold nothing but tests, by their place.
fn is_test_path(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("tests/") || path.contains("/tests/") || stem == "tests.rs"
}

/// Where the modules that `path` declares live.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    }
}

/// Names in `#[cfg(test)] mod name;`.
fn test_modules(tokens: &[Token]) -> Vec<String> {
    let pattern = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut names = Vec::new();
    for window in tokens.windows(pattern.len() + 2) {
        if let [head @ .., name, end] = window
            && head.iter().zip(pattern).all(|(t, p)| t.text == p)
            && end.text == ";"
        {
            names.push(name.text.clone());
        }
    }
    names
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if is_punct(&tree, '#') && trees.peek().is_some_and(is_doc) {
            trees.next();
            continue;
        }
        // An inner doc comment arrives as `# ! [doc = …]`.
        if is_punct(&tree, '#') && trees.peek().is_some_and(|t| is_punct(t, '!')) {
            let bang = trees.next();
            if trees.peek().is_some_and(is_doc) {
                trees.next();
                continue;
            }
            push(tree, into);
            bang.into_iter().for_each(|t| push(t, into));
            continue;
        }
        push(tree, into);
    }
}

fn push(tree: TokenTree, into: &mut Vec<Token>) {
    let line = tree.span().start().line;
    let (text, kind) = match tree {
        TokenTree::Ident(word) => (word.to_string(), Kind::Word),
        TokenTree::Literal(literal) => (literal.to_string(), Kind::Literal),
        TokenTree::Punct(punct) => (punct.as_char().to_string(), Kind::Punct),
        TokenTree::Group(group) => {
            let (open, close) = match group.delimiter() {
                Delimiter::Parenthesis => ("(", ")"),
                Delimiter::Brace => ("{", "}"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::None => ("", ""),
            };
            into.push(Token { text: open.to_owned(), kind: Kind::Open, line, test: false });
            let last = group.span_close().end().line;
            flatten(group.stream(), into);
            into.push(Token { text: close.to_owned(), kind: Kind::Close, line: last, test: false });
            return;
        }
    };
    into.push(Token { text, kind, line, test: false });
}

fn is_punct(tree: &TokenTree, sign: char) -> bool {
    matches!(tree, TokenTree::Punct(p) if p.as_char() == sign)
}

fn is_doc(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "doc")
}

/// Marks what follows `#[cfg(test)]`, `#[test]` and `#[tokio::test]` up to the end of the item.
fn mark_test_items(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some(end) = test_attribute_end(tokens, at) else {
            at += 1;
            continue;
        };
        let mut close = end;
        while let Some(token) = tokens.get(close) {
            match token.text.as_str() {
                ";" => break,
                "{" => {
                    close = closing(tokens, close).unwrap_or(close);
                    break;
                }
                "(" | "[" => close = closing(tokens, close).unwrap_or(close),
                _ => {}
            }
            close += 1;
        }
        for token in tokens.iter_mut().take(close + 1).skip(at) {
            token.test = true;
        }
        at = close + 1;
    }
}

/// The index after a test attribute that starts at `at`.
fn test_attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if tokens.get(at)?.text != "#" || tokens.get(at + 1)?.text != "[" {
        return None;
    }
    let close = closing(tokens, at + 1)?;
    let words: Vec<&str> = tokens.get(at + 2..close)?.iter().map(|t| t.text.as_str()).collect();
    let is_test = matches!(
        words.as_slice(),
        ["test"]
            | ["cfg", "(", "test", ")"]
            | ["cfg", "(", "any" | "all", "(", "test", ..]
            | ["tokio", ":", ":", "test", ..]
    );
    is_test.then_some(close + 1)
}

/// The opening brace of the body of the function whose name stands before `from`; none for a declaration.
fn body_of(tokens: &[Token], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return None,
            "{" if token.kind == Kind::Open => return Some(at),
            "(" | "[" if token.kind == Kind::Open => at = closing(tokens, at)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The index of the token that closes the group opened at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! doc sleep()\n/// fn fake() {}\nfn one(a: [u8; 2]) -> u8 where u8: Copy {\n    \"} fn no() {\";\n    a[0]\n}\ntrait T { fn no_body(&self); }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn two() { sleep(); }\n}\n";

    #[test]
    fn functions_have_their_lines_and_declarations_are_none() {
        let file = File::new("a.rs".into(), SAMPLE.into());
        let names: Vec<_> = file.functions().into_iter().map(|f| (f.name, f.line, f.last_line)).collect();
        assert_eq!(names, [("one".to_owned(), 3, 6), ("two".to_owned(), 11, 11)]);
    }

    #[test]
    fn test_code_is_marked_and_doc_comments_are_not_tokens() {
        let file = File::new("a.rs".into(), SAMPLE.into());
        let sleeps: Vec<_> = file.tokens.iter().filter(|t| t.text == "sleep").collect();
        assert_eq!(sleeps.len(), 1);
        assert!(sleeps.iter().all(|t| t.test));
        assert!(file.tokens.iter().filter(|t| t.text == "one").all(|t| !t.test));
    }

    #[test]
    fn a_module_declared_for_tests_is_test_code_in_its_own_file() {
        let tree = Tree::of(&[
            ("crates/a/src/x.rs", "#[cfg(test)]\nmod fakes;\n"),
            ("crates/a/src/x/fakes.rs", "fn f() {}\n"),
            ("crates/a/src/fakes.rs", "fn f() {}\n"),
        ]);
        let marked: Vec<_> =
            tree.rust().filter(|f| f.tokens.iter().any(|t| t.test)).map(|f| f.path.as_str()).collect();
        assert_eq!(marked, ["crates/a/src/x.rs", "crates/a/src/x/fakes.rs"]);
    }
}
