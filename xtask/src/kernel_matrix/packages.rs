//! Getting kernels and tools out of Debian packages without installing them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process::{find_program, is_root, output, run, step},
    toolchain::file_name,
};

/// The emulator and the guest's shell.
pub(super) struct Tools {
    /// Where the packages are unpacked.
    root: PathBuf,
    /// The system's own qemu; `None` uses the unpacked one.
    installed_qemu: Option<PathBuf>,
}

impl Tools {
    /// Unpacks busybox, and qemu with the libraries this machine lacks, unless they are there.
    pub(super) fn fetch(directory: &Path) -> Result<Self> {
        let root = directory.join("tools");
        let installed_qemu = find_program("qemu-system-x86_64");
        let tools = Self {
            root,
            installed_qemu,
        };
        let mut wanted = Vec::new();
        if !tools.busybox().is_file() {
            wanted.push("busybox-static".to_owned());
        }
        if tools.installed_qemu.is_none() && !tools.unpacked_qemu().is_file() {
            wanted.extend(with_dependencies("qemu-system-x86")?);
        }
        if !wanted.is_empty() {
            download_and_unpack(&wanted, &tools.root)?;
        }
        Ok(tools)
    }

    /// A static busybox.
    pub(super) fn busybox(&self) -> PathBuf {
        self.root.join("bin/busybox")
    }

    fn unpacked_qemu(&self) -> PathBuf {
        self.root.join("usr/bin/qemu-system-x86_64")
    }

    /// Adds qemu, and where its firmware is, to a command line.
    pub(super) fn add_qemu(&self, command: &mut Command) {
        if let Some(qemu) = &self.installed_qemu {
            command.arg(qemu);
            return;
        }
        let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
            .map(|directory| self.root.join(directory).display().to_string());
        command
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .arg(self.unpacked_qemu());
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(firmware));
        }
    }
}

/// Path of the newest cloud kernel of `series` (`6.1`), downloaded unless it is there already.
pub(super) fn fetch_kernel(directory: &Path, series: &str) -> Result<PathBuf> {
    let package = newest_kernel(series)?;
    let root = directory.join(&package);
    if !root.is_dir() {
        download_and_unpack(std::slice::from_ref(&package), &root)?;
    }
    fs::read_dir(root.join("boot"))
        .with_context(|| format!("reading {}", root.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| file_name(path).starts_with("vmlinuz-"))
        .with_context(|| format!("{package} holds no kernel; delete {}", root.display()))
}

fn newest_kernel(series: &str) -> Result<String> {
    let pattern = format!(
        r"^linux-image-{}\.[^ ]*-cloud-amd64$",
        series.replace('.', r"\.")
    );
    let search = || output(Command::new("apt-cache").args(["search", "--names-only", &pattern]));
    let mut newest = newest_of(&search()?);
    if newest.is_none() && is_root() {
        run(Command::new("apt-get").args(["update", "-q"]))?;
        newest = newest_of(&search()?);
    }
    newest.with_context(|| {
        format!(
            "this machine's package lists have no Linux {series} for clouds; on Debian 12 `apt-get update` brings it"
        )
    })
}

/// The package with the highest version in the output of `apt-cache search`.
fn newest_of(found: &str) -> Option<String> {
    found
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .max_by_key(|name| numbers(name))
        .map(str::to_owned)
}

/// The runs of digits in a package name, as numbers, so that 6.1.0-9 sorts before 6.1.0-56.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// `package` and those of its dependencies that are not installed.
fn with_dependencies(package: &str) -> Result<Vec<String>> {
    let simulate = || {
        output(Command::new("apt-get").args(["install", "-s", "--no-install-recommends", package]))
    };
    let plan = match simulate() {
        Err(_) if is_root() => {
            run(Command::new("apt-get").args(["update", "-q"]))?;
            simulate()?
        }
        other => other?,
    };
    let packages: Vec<String> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    if packages.is_empty() {
        bail!("apt plans nothing for {package}");
    }
    Ok(packages)
}

/// apt checks the signatures. `root` appears only when everything is unpacked, unless it exists.
fn download_and_unpack(packages: &[String], root: &Path) -> Result<()> {
    step(format_args!(
        "kernels: fetching {} for {}",
        packages.join(" "),
        root.display()
    ));
    let parent = root.parent().context("no directory to unpack into")?;
    let downloads = parent.join("downloads");
    if downloads.exists() {
        fs::remove_dir_all(&downloads)
            .with_context(|| format!("emptying {}", downloads.display()))?;
    }
    fs::create_dir_all(&downloads).with_context(|| format!("creating {}", downloads.display()))?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        // Our directory may be closed to apt's own user.
        command
            .current_dir(&downloads)
            .args(["-q", "-o", "APT::Sandbox::User=root", "download"])
            .args(packages);
        run(&mut command)
    };
    match fetch() {
        // The lists may name a version that the archive has replaced.
        Err(_) if is_root() => {
            run(Command::new("apt-get").args(["update", "-q"]))?;
            fetch()?;
        }
        other => other?,
    }
    let unpacked = downloads.join("unpacked");
    let destination = if root.exists() { root } else { &unpacked };
    for entry in fs::read_dir(&downloads).context("listing downloads")? {
        let file = entry.context("listing downloads")?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            output(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&file)
                    .arg(destination),
            )?;
        }
    }
    if destination == unpacked {
        fs::rename(&unpacked, root).with_context(|| format!("creating {}", root.display()))?;
    }
    fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_kernel_is_the_one_with_the_highest_number() {
        let found = "linux-image-6.1.0-9-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
                     linux-image-6.1.0-56-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
                     linux-image-6.1.0-47-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n";
        assert_eq!(
            newest_of(found).as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(newest_of(""), None);
    }

    #[test]
    fn point_releases_compare_by_number() {
        assert!(
            numbers("linux-image-6.12.117+deb12-cloud-amd64")
                > numbers("linux-image-6.12.9+deb12-cloud-amd64")
        );
    }
}
