//! What the README says about the limits is what the table says, and the tests that it names are
//! there.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard::config::markdown_table;

#[test]
fn the_readme_has_the_table_of_limits() {
    // A missing file has no table, and the text below says what to write.
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let table = readme.split_once("<!-- limits -->\n").and_then(|(_, rest)| {
        let (table, _) = rest.split_once("<!-- /limits -->")?;
        Some(table.trim())
    });
    let wanted = markdown_table();
    assert!(
        table == Some(wanted.trim()),
        "between the lines <!-- limits --> and <!-- /limits --> the README has to have:\n\n{wanted}"
    );
}

/// A promise without its test is a wish.
#[test]
fn every_promise_of_the_readme_names_tests_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let promised = readme
        .split_once("<!-- security -->\n")
        .and_then(|(_, rest)| rest.split_once("What is not promised:"))
        .map(|(promised, _)| promised)
        .expect("a section about security");
    let sources = [root().join("tests"), root().join("src")].map(sources_in).concat().concat();
    for promise in promised.split("\n* ").skip(1) {
        let spans = promise.split('`').skip(1).step_by(2);
        let names: Vec<&str> = spans.filter(|span| is_name(span)).collect();
        assert!(!names.is_empty(), "no test shows this: {promise}");
        for name in names {
            let declared = sources.contains(&format!("#[test]\nfn {name}() {{"))
                || sources.contains(&format!("#[test]\n    fn {name}() {{"));
            assert!(declared, "there is no test `{name}`");
        }
    }
}

fn is_name(span: &str) -> bool {
    span.contains('_') && span.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
}

/// The text of every source in a folder.
fn sources_in(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let mut texts = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            texts.extend(sources_in(path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).expect("a source in UTF-8"));
        }
    }
    texts
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
