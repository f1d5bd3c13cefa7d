//! Which file of a crate imports from which.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, File, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// One name that a file takes from another of its crate.
pub(crate) struct Import {
    /// The path from `src/` of the file that the name stands in.
    pub(crate) file: PathBuf,
    pub(crate) name: String,
}

/// Every source file below `src`, by its path from there, with what it imports.
pub(crate) fn imports_of(src: &Path) -> BTreeMap<PathBuf, Vec<Import>> {
    let mut files = BTreeMap::new();
    read(src, Path::new(""), &mut files);
    for module in files.iter().flat_map(|(path, file)| test_modules(path, file)).collect::<Vec<_>>()
    {
        files.retain(|path, _| module_of(path) != module);
    }
    let paths: Vec<_> = files.keys().cloned().collect();
    let resolve = |(path, file): (PathBuf, File)| {
        let mut uses = Uses { module: module_of(&path), paths: Vec::new() };
        uses.visit_file(&file);
        let imports = uses.paths.iter().map(|names| standing_at(&paths, names));
        (path.clone(), imports.filter(|import| import.file != path).collect())
    };
    files.into_iter().map(resolve).collect()
}

fn read(src: &Path, below: &Path, files: &mut BTreeMap<PathBuf, File>) {
    for entry in fs::read_dir(src.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read(src, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let file = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
            files.insert(path, file);
        }
    }
}

/// The modules below the one that `file` is that only tests see.
fn test_modules(path: &Path, file: &File) -> Vec<Vec<String>> {
    let below = |item: &Item| match item {
        Item::Mod(item) if item.attrs.iter().any(is_test) => {
            let mut names = module_of(path);
            names.push(item.ident.to_string());
            Some(names)
        }
        _ => None,
    };
    file.items.iter().filter_map(below).collect()
}

/// The names of the modules down to the one that a file is.
fn module_of(file: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        file.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
        names.pop();
    }
    names
}

/// The file of the innermost module that `names` goes through, and the name after it.
fn standing_at(files: &[PathBuf], names: &[String]) -> Import {
    let file_of = |depth: usize| {
        let module: PathBuf = names[..depth].iter().collect();
        let mut candidates = [module.with_extension("rs"), module.join("mod.rs")].into_iter();
        if depth == 0 {
            return Some(PathBuf::from("lib.rs"));
        }
        candidates.find(|candidate| files.contains(candidate))
    };
    let deepest = (0..=names.len()).take_while(|depth| file_of(*depth).is_some()).last();
    let depth = deepest.expect("the root is always there");
    Import {
        file: file_of(depth).expect("was found"),
        name: names.get(depth).cloned().unwrap_or_default(),
    }
}

/// Collects all paths into the crate that a file names outside its tests.
struct Uses {
    /// The module that is being looked at.
    module: Vec<String>,
    /// Each as the names from the crate's root.
    paths: Vec<Vec<String>>,
}

impl Uses {
    fn add(&mut self, names: &[String]) {
        let mut at = match names.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for name in names {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ => at.push(name.clone()),
            }
        }
        self.paths.push(at);
    }

    fn add_tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_tree(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, before));
            }
            UseTree::Name(name) => self.add_name(name.ident.to_string(), before),
            UseTree::Rename(rename) => self.add_name(rename.ident.to_string(), before),
            UseTree::Glob(_) => self.add(before),
        }
    }

    fn add_name(&mut self, name: String, before: &[String]) {
        // A child that a `mod` line declares is named without a prefix.
        let mut names = before.to_vec();
        if !matches!(names.first().map(String::as_str), Some("crate" | "self" | "super")) {
            names.insert(0, "self".to_owned());
        }
        names.push(name);
        self.add(&names);
    }
}

impl Visit<'_> for Uses {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            self.add_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if names.len() > 1 {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }
}

/// Whether an item is there in tests alone.
fn is_test(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
}
