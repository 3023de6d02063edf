//! What the README says about the limits is what the table says.

use std::path::Path;

use switchboard::config::markdown_table;

#[test]
fn the_readme_has_the_table_of_limits() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    // A missing file has no table, and the text below says what to write.
    let readme = std::fs::read_to_string(path).unwrap_or_default();
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
