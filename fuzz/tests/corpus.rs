//! Every input of every corpus is checked again, on stable Rust and without a fuzzer: one test for
//! each target, and what must hold of the corpora themselves.
//!
//! `FOUND=DIRECTORY` adds the inputs of DIRECTORY/TARGET, as `fuzz/long` leaves them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use switchboard_fuzz::{TARGETS, seeds};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Says which input it was, if the test panics while this is alive.
struct Named<'p>(&'p Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nthe input is {}", self.0.display());
        }
    }
}

fn replay(target: &str) {
    let target = TARGETS.iter().find(|other| other.name == target).expect("a target");
    let mut files = files_in(&folder("corpus").join(target.name));
    assert!(files.len() >= 10, "{} has {} inputs", target.name, files.len());
    let found = std::env::var_os("FOUND").map(|found| Path::new(&found).join(target.name));
    files.extend(found.filter(|found| found.exists()).into_iter().flat_map(|it| files_in(&it)));
    for file in files {
        let input = fs::read(&file).unwrap();
        let _named = Named(&file);
        (target.check)(&input);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_here_and_in_cargo_toml() {
            let here: HashSet<&str> = [$(stringify!($name)),*].into();
            let there: HashSet<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(here, there);
            let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
            for name in there {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
                assert!(folder("fuzz_targets").join(name).with_extension("rs").exists(), "{name}");
            }
        }
    };
}

targets! {
    frame_header
    frame_stream
    handshake
    http_request
    close_payload
    extension_header
    inflate
    envelope
    sessions
    engine_operations
    differential
}

#[test]
fn the_seeds_are_in_the_corpora() {
    for seed in seeds::all() {
        let path = seed.path(&folder("corpus"));
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(found, seed.bytes, "{}: cargo run --example seeds", path.display());
        assert!(seed.name.contains('-'), "{}: a name has a hyphen", seed.name);
    }
}

#[test]
fn no_two_seeds_have_one_name() {
    let seeds = seeds::all();
    let names: HashSet<_> = seeds.iter().map(|seed| (seed.target, seed.name)).collect();
    assert_eq!(names.len(), seeds.len());
}

#[test]
fn every_reason_for_a_difference_says_why() {
    for reason in switchboard_fuzz::differential::reasons() {
        assert!(reason.len() > 40 && reason.ends_with('.'), "{reason}");
    }
}
