//! Writes the inputs of `switchboard_fuzz::seeds` to the corpora.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for seed in switchboard_fuzz::seeds::all() {
        let path = seed.path(&corpora);
        std::fs::create_dir_all(corpora.join(seed.target))?;
        std::fs::write(path, seed.bytes)?;
    }
    Ok(())
}
