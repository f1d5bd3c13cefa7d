//! The house in which the code lives: who may import whom.
//!
//! - Every import names the file where a thing stands, never the crate's root, so that a file's
//!   `use` lines tell its place.
//! - No two files import each other, and in the core imports point downwards: see [`ROOMS`].
//!
//! What only tests see does not count, and neither does a `pub use`, which shows a thing and needs
//! none.

mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use imports::{Import, imports_of};

/// The rooms of `events-core`, each with those it may import from. A file at the top is in the
/// contract.
const ROOMS: &[(&str, &[&str])] = &[
    ("runtime", &["runtime"]),
    ("contract", &["contract", "runtime"]),
    ("sinks", &["sinks", "contract", "runtime"]),
    ("strategy", &["strategy", "contract", "runtime"]),
    ("engine", &["engine", "contract", "runtime", "strategy"]),
    ("conformance", &["conformance", "engine", "contract", "runtime"]),
];

/// A crate's source files, by their path from `src/`, with what each imports.
struct House {
    name: String,
    files: BTreeMap<PathBuf, Vec<Import>>,
}

fn houses() -> Vec<House> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut houses = Vec::new();
    for entry in std::fs::read_dir(crates).unwrap() {
        let entry = entry.unwrap();
        let src = entry.path().join("src");
        let name = entry.file_name().into_string().unwrap();
        houses.push(House { name, files: imports_of(&src) });
    }
    assert!(houses.len() >= 6, "found only {} crates", houses.len());
    houses
}

fn room(file: &Path) -> String {
    let mut parts = file.iter();
    let first = parts.next().unwrap().to_str().unwrap();
    if parts.next().is_some() { first.to_owned() } else { "contract".to_owned() }
}

#[test]
fn imports_name_where_a_thing_stands() {
    let mut wrong = Vec::new();
    for house in houses() {
        for (file, imports) in &house.files {
            let through_root = imports.iter().filter(|import| import.file == Path::new("lib.rs"));
            wrong.extend(through_root.map(|import| {
                format!("{}/src/{}: crate::{}", house.name, file.display(), import.name)
            }));
        }
    }
    assert!(wrong.is_empty(), "imported through the crate's root:\n{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let mut wrong = Vec::new();
    for house in houses() {
        for (file, imports) in &house.files {
            let others: BTreeSet<_> = imports.iter().map(|import| &import.file).collect();
            for other in others {
                let back = house.files.get(other).into_iter().flatten();
                if file < other && back.into_iter().any(|import| import.file == *file) {
                    wrong.push(format!(
                        "{}: {} and {}",
                        house.name,
                        file.display(),
                        other.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "import each other:\n{}", wrong.join("\n"));
}

#[test]
fn in_the_core_imports_point_downwards() {
    let houses = houses();
    let core = houses.iter().find(|house| house.name == "events-core").expect("the core");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, imports) in &core.files {
        if file == Path::new("lib.rs") {
            continue;
        }
        let from = room(file);
        let (_, allowed) = ROOMS.iter().find(|(room, _)| *room == from).expect("a known room");
        seen.insert(from);
        for import in imports {
            if !allowed.contains(&room(&import.file).as_str()) {
                wrong.push(format!("{} -> {}", file.display(), import.file.display()));
            }
        }
    }
    assert_eq!(seen.len(), ROOMS.len(), "every room has files: {seen:?}");
    assert!(wrong.is_empty(), "these imports point upwards:\n{}", wrong.join("\n"));
}
