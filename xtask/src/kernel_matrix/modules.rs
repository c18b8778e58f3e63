//! Kernel modules for the guest: found in the kernel's package, unpacked, and put into the order they load in.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::toolchain::file_name;

/// What the `net_*` tests of the matrix are made of: virtual cables, a switch, and the devices that stand on others.
const WANTED: [&str; 4] = ["veth", "bridge", "bonding", "8021q"];

/// A module, ready to be loaded.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) contents: Vec<u8>,
}

/// The wanted modules of the kernel whose package is unpacked at `root`, each behind those that it depends on.
pub(super) fn in_load_order(root: &Path, busybox: &Path) -> Result<Vec<Module>> {
    let mut found = HashMap::new();
    collect(&root.join("lib/modules"), &mut found)?;
    let mut order = Vec::new();
    for name in WANTED {
        add(name, &found, busybox, &mut order)?;
    }
    Ok(order)
}

/// Fills `found` with the module files below `directory`, by module name.
fn collect(directory: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    let listing = || format!("listing {}", directory.display());
    for entry in fs::read_dir(directory).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if let Some((name, _)) = file_name(&path).split_once(".ko") {
            // The kernel takes a dash in a file's name for an underscore.
            found.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

fn add(
    name: &str,
    found: &HashMap<String, PathBuf>,
    busybox: &Path,
    order: &mut Vec<Module>,
) -> Result<()> {
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let path = found
        .get(name)
        .with_context(|| format!("the kernel's package has no module {name}"))?;
    let contents = read(path, busybox)?;
    for needed in dependencies(&contents) {
        add(&needed, found, busybox, order)?;
    }
    order.push(Module {
        name: name.to_owned(),
        contents,
    });
    Ok(())
}

/// Debian's 6.12 packs its modules by xz; busybox's `insmod` does not unpack them.
fn read(path: &Path, busybox: &Path) -> Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(reading);
    }
    let unpacked = Command::new(busybox)
        .arg("xzcat")
        .arg(path)
        .output()
        .with_context(reading)?;
    anyhow::ensure!(
        unpacked.status.success(),
        "{}: {}",
        reading(),
        String::from_utf8_lossy(&unpacked.stderr)
    );
    Ok(unpacked.stdout)
}

/// What a module says that it depends on: the string `depends=a,b` of its section `.modinfo`, each ended by a zero.
/// The packages hold no `modules.dep`, which an installation would make.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    let said = module
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(KEY));
    let said = String::from_utf8_lossy(said.unwrap_or_default());
    let names = said.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        let module = b"\x7fELF\0license=GPL\0depends=mrp,garp\0name=8021q\0";
        assert_eq!(dependencies(module), ["mrp", "garp"]);
        assert!(dependencies(b"\0depends=\0name=veth\0").is_empty());
        assert!(dependencies(b"nothing here").is_empty());
    }

    #[test]
    fn a_module_comes_behind_what_it_depends_on_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let modules = directory.path().join("lib/modules/1.2/kernel");
        fs::create_dir_all(&modules).unwrap();
        let all = [
            ("veth", ""),
            ("bridge", "stp,llc"),
            ("bonding", "tls"),
            ("8021q", "garp"),
            ("garp", "stp,llc"),
            ("stp", "llc"),
            ("llc", ""),
            ("tls", ""),
        ];
        for (name, depends) in all {
            let text = format!("\0depends={depends}\0");
            fs::write(modules.join(format!("{name}.ko")), text).unwrap();
        }
        let order = in_load_order(directory.path(), Path::new("none")).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "veth", "llc", "stp", "bridge", "tls", "bonding", "garp", "8021q"
            ]
        );
    }
}
