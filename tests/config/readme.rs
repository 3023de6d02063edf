//! What the README says about settings is what the table says.

use std::fs;

use switchboard::cli::markdown_table;

#[test]
fn the_readme_has_the_table_of_settings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).unwrap_or_default();
    let table = readme.split_once("<!-- settings -->\n").and_then(|(_, rest)| {
        let (table, _) = rest.split_once("<!-- /settings -->")?;
        Some(table.trim())
    });
    let wanted = markdown_table();
    assert!(
        table == Some(wanted.trim()),
        "between the lines <!-- settings --> and <!-- /settings --> the README has to \
         have:\n\n{wanted}"
    );
}
