//! The rules of the house that a text search can hold: which way imports point, what stays in which
//! module, and how large things may be, also in the tests and benchmarks. All violations are
//! reported at once, with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file, and which of its lines are tests.
struct Source {
    /// From `src/` or its neighbours on, with `/`.
    path: String,
    text: String,
    /// The line on which `#[cfg(test)] mod` begins, which is the last thing in a file.
    tests_from: usize,
}

impl Source {
    /// The module it belongs to, and as a file of its own: `wire`, `outbox`, `main`.
    fn ring(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = path.split('/').next().unwrap_or(path);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines with their numbers, without those that are only comment.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The same outside of tests.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(number, _)| *number < self.tests_from)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    fn at(&self, number: usize, what: impl AsRef<str>) -> String {
        format!("{}:{number}: {}", self.path, what.as_ref())
    }
}

fn sources() -> Vec<Source> {
    sources_in(&["src"])
}

fn sources_in(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source in UTF-8");
        let path = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let lines: Vec<&str> = text.lines().collect();
        let is_tests = |at: &usize| {
            lines[*at] == "#[cfg(test)]"
                && lines[at + 1..].iter().take(2).any(|line| line.ends_with('{'))
        };
        let found = (0..lines.len()).find(is_tests).map_or(usize::MAX, |at| at + 1);
        let tests_from = if path.ends_with("_tests.rs") { 0 } else { found };
        Source { path, text, tests_from }
    };
    paths.iter().map(read).collect()
}

fn hold(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n{}\n", violations.join("\n"));
}

/// Modules of this crate that are named after `crate::`, with the line of each.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let text: String = source
        .lines()
        .map(|(_, line)| if line.trim_start().starts_with("//") { "\n" } else { line })
        .fold(String::new(), |text, line| text + line.trim_end_matches('\n') + "\n");
    for (at, _) in text.match_indices("crate::") {
        let number = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => first_names(list),
            None => vec![identifier(rest)],
        };
        found.extend(names.into_iter().map(|name| (number, name)));
    }
    found
}

/// The first names in `a::b, c::{d, e}}`, up to the brace that ends the list.
fn first_names(list: &str) -> Vec<String> {
    let mut names = vec![identifier(list)];
    let mut depth = 0;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(&list[at + 1..])),
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_point_inward() {
    let above_wire =
        ["protocol", "outbox", "hub", "timer", "engine", "echo", "relay", "store", "net", "tools"];
    let mut violations = Vec::new();
    for source in sources() {
        let forbidden: &[&str] = match source.ring() {
            "wire" => &above_wire,
            "protocol" | "outbox" | "hub" | "timer" => &above_wire[4..],
            "engine" => &["echo", "relay", "store", "net", "tools"],
            "relay" | "echo" => &["store", "net", "tools"],
            // What the application keeps, for whoever starts it.
            "store" => &["engine", "echo", "net", "tools", "wire", "protocol", "outbox"],
            "net" => &["relay", "echo", "store", "wire", "tools"],
            // What talks to any server knows nothing of ours. A connection writes into an outbox.
            "tools" => &["engine", "hub", "echo", "relay", "store"],
            _ => &[],
        };
        let binary = ["cli", "logger"];
        let library = !["main", "cli", "logger", "lib"].contains(&source.ring());
        for (number, name) in imports(&source) {
            if forbidden.contains(&&name[..]) || (library && binary.contains(&&name[..])) {
                violations.push(source.at(number, format!("{} uses {name}", source.ring())));
            }
        }
    }
    hold("imports point inward only", violations);
}

#[test]
fn what_is_known_in_one_place_stays_there() {
    // Words, and the modules that may use them.
    let rules: &[(&[&str], &[&str])] = &[
        (&["mio::", "socket2::", "TcpStream", "TcpListener"], &["net"]),
        (&["Instant::now"], &["net", "store"]),
        (&["SystemTime::now"], &["net", "logger", "main"]),
        (&["serde_json", "serde::"], &["relay", "cli", "tools"]),
        (&["println!", "eprintln!", "print!("], &["main", "cli"]),
    ];
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in source.shipped() {
            for (words, rings) in rules {
                let found = words.iter().find(|word| line.contains(**word));
                if let Some(word) = found.filter(|_| !rings.contains(&source.ring())) {
                    violations.push(source.at(number, format!("`{word}`")));
                }
            }
            let io = line.contains("io::Read") || line.contains("io::Write");
            let braced = line.contains("std::io::{")
                && (line.contains("Read") || line.contains("Write"))
                && line.contains("use ");
            if (io || braced) && !["net", "logger", "main"].contains(&source.ring()) {
                violations.push(source.at(number, "reads or writes"));
            }
        }
    }
    hold("mio, the clock and I/O are known to net alone, JSON to relay", violations);
}

#[test]
fn nothing_is_unsafe_unfinished_or_unwrapped() {
    let mut violations = Vec::new();
    // In two halves, so that this file does not find itself if it is ever looked at.
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["db", "g!"]].map(|halves| halves.concat());
    for source in sources() {
        for (number, line) in source.lines() {
            for word in words.iter().filter(|word| line.contains(&word[..])) {
                violations.push(source.at(number, word));
            }
        }
        for (number, line) in source.code() {
            let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if is_unsafe.iter().any(|words| line.contains(words)) {
                violations.push(source.at(number, "unsafe"));
            }
        }
        for (number, line) in source.shipped() {
            if line.contains(".unwrap()") {
                violations.push(source.at(number, "unwrap outside of tests"));
            }
        }
    }
    let root = sources().into_iter().find(|source| source.path == "src/lib.rs");
    let forbids = |source: Source| source.text.contains("#![forbid(unsafe_code)]");
    assert!(root.is_some_and(forbids), "the library forbids unsafe code");
    hold("no unsafe, no unwrap outside of tests, nothing unfinished", violations);
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut violations = Vec::new();
    for source in sources_in(&["src", "tests", "benches", "fuzz/src", "fuzz/tests"]) {
        let len = source.text.lines().count();
        if len > FILE_LINES_MAX {
            violations.push(source.at(len, format!("a file of {len} lines")));
        }
        for (number, line) in source.lines() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                violations.push(source.at(number, format!("{columns} columns")));
            }
        }
        for (number, len) in long_functions(&source) {
            violations.push(source.at(number, format!("a function of {len} lines")));
        }
    }
    hold("files, functions and lines are short", violations);
}

/// Where functions begin that are too long, and how long they are. The formatter puts the brace
/// that ends a function under the line that begins it.
fn long_functions(source: &Source) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = code.starts_with("fn ")
            || (code.starts_with("pub") && code.contains(" fn ") && !code.contains('='))
            || code.starts_with("const fn ");
        if !is_function || code.ends_with('}') || code.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(len) = lines[at..].iter().position(|line| *line == end)
            && len + 1 > FUNCTION_LINES_MAX
        {
            found.push((at + 1, len + 1));
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_and_every_citation_where_it_is_from() {
    let mut violations = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") && !source.text.starts_with("#![doc") {
            violations.push(source.at(1, "does not begin with its documentation"));
        }
        for (number, line) in source.lines() {
            let Some(citation) = line.trim_start().strip_prefix("// RFC ") else { continue };
            let (document, place) = citation.split_once(" §").unwrap_or((citation, ""));
            let numbered = !document.is_empty() && document.chars().all(|c| c.is_ascii_digit());
            if !numbered || !place.starts_with(|c: char| c.is_ascii_digit()) {
                violations.push(source.at(number, "a citation reads `RFC 6455 §5.1`"));
            }
        }
    }
    hold("files and citations say where they belong", violations);
}

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
