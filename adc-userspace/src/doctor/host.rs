//! What holds for the whole machine.

use std::{fs, io, path::Path};

use nix::sys::{statfs, utsname};

use super::Finding;

const HOST: &str = "host";

/// The oldest kernel that adc supports (Debian 12).
const OLDEST: (u32, u32) = (6, 1);

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The start of the finding that says that bpffs is not there; see [`is_missing_bpffs`].
const NO_BPFFS: &str = "no bpf file system is mounted";

/// Capabilities needed, by bit number (linux/capability.h), and what for. CAP_SYS_ADMIN stands in for the
/// first two.
const CAPABILITIES: [(u8, &str, &str); 4] = [
    (39, "CAP_BPF", "to load programs and make maps"),
    (
        38,
        "CAP_PERFMON",
        "to load programs that use packet pointers",
    ),
    (
        12,
        "CAP_NET_ADMIN",
        "to attach to interfaces and keep neighbours fresh",
    ),
    (13, "CAP_NET_RAW", "to send ICMP probes and announce VIPs"),
];
const CAP_SYS_ADMIN: u8 = 21;

/// Capabilities from this number on were split off CAP_SYS_ADMIN, which still includes them.
const FIRST_SPLIT_OFF: u8 = 38;

pub(super) fn findings(pin_path: &Path) -> Vec<Finding> {
    let release = release();
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable");
    vec![
        capabilities(&status),
        kernel(&release),
        btf(Path::new(BTF)),
        jit_finding(&jit),
        bpffs(pin_path),
        stack_settings(),
    ]
}

fn release() -> String {
    utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether this kernel is known to be older than [`OLDEST`].
pub(super) fn kernel_is_too_old() -> bool {
    version(&release()).is_some_and(|found| found < OLDEST)
}

/// Whether a finding says that bpffs is missing.
pub(super) fn is_missing_bpffs(finding: &Finding) -> bool {
    finding.what.starts_with(NO_BPFFS)
}

/// Bytes per memory page.
pub(super) fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let known = size
        .ok()
        .flatten()
        .and_then(|bytes| u32::try_from(bytes).ok());
    known.unwrap_or(4096)
}

fn capabilities(status: &str) -> Finding {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let Some(mask) = mask else {
        return Finding::warning(
            HOST,
            "the process's capabilities can not be read from /proc".into(),
            "mount /proc",
        );
    };
    let has = |bit: u8| mask & (1 << bit) != 0;
    let missing: Vec<String> = CAPABILITIES
        .iter()
        .filter(|(bit, ..)| !has(*bit))
        .filter(|(bit, ..)| *bit < FIRST_SPLIT_OFF || !has(CAP_SYS_ADMIN))
        .map(|(_, name, purpose)| format!("{name} ({purpose})"))
        .collect();
    if missing.is_empty() {
        return Finding::ok(HOST, "all capabilities needed are there".into());
    }
    Finding::error(
        HOST,
        format!("capabilities are missing: {}", missing.join(", ")),
        "run as root, or grant them (systemd: AmbientCapabilities=)",
    )
}

fn kernel(release: &str) -> Finding {
    match version(release) {
        Some(found) if found >= OLDEST => Finding::ok(HOST, format!("kernel {release}")),
        Some(_) => Finding::error(
            HOST,
            format!(
                "kernel {release} is too old: adc needs {}.{}",
                OLDEST.0, OLDEST.1
            ),
            "install a newer kernel (Debian 12's, or any distribution kernel since 2023)",
        ),
        None => Finding::warning(
            HOST,
            format!("the kernel's version `{release}` is not understood"),
            "check that it is 6.1 or later",
        ),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btf(path: &Path) -> Finding {
    if path.exists() {
        return Finding::ok(HOST, "the kernel describes its types (BTF)".into());
    }
    Finding::error(
        HOST,
        format!(
            "the kernel does not describe its types: {} is missing",
            path.display()
        ),
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all large distributions do",
    )
}

fn jit_finding(setting: &io::Result<String>) -> Finding {
    match setting.as_deref().map(str::trim) {
        Ok("0") => Finding::error(
            HOST,
            "the BPF compiler is off: programs would be interpreted, many times slower".into(),
            "run `sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok("2") => Finding::warning(
            HOST,
            "the BPF compiler is in debug mode and writes programs to the kernel log".into(),
            "run `sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => Finding::ok(HOST, "the BPF compiler (JIT) is on".into()),
        // The setting is shown in the first network namespace only.
        Err(_) => Finding::ok(
            HOST,
            "the state of the BPF compiler (JIT) is not visible from this network namespace".into(),
        ),
    }
}

fn bpffs(pin_path: &Path) -> Finding {
    let there = pin_path.ancestors().find(|path| path.exists());
    let is_bpffs = there.is_some_and(|path| {
        statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == statfs::BPF_FS_MAGIC)
    });
    if is_bpffs {
        return Finding::ok(
            HOST,
            format!("a bpf file system holds {}", pin_path.display()),
        );
    }
    let root = if pin_path.starts_with("/sys/fs/bpf") {
        Path::new("/sys/fs/bpf")
    } else {
        pin_path.parent().unwrap_or(pin_path)
    };
    let root = root.display();
    Finding::warning(
        HOST,
        format!("{NO_BPFFS} at {root}"),
        &format!(
            "`adc run` mounts it if it may; by hand: `mkdir -p {root} && mount -t bpf bpf {root}`"
        ),
    )
}

/// Settings that people suspect first, and that do not matter to what adc itself forwards.
fn stack_settings() -> Finding {
    let read = |path: &str| {
        fs::read_to_string(path).map_or_else(|_| "?".into(), |text| text.trim().to_owned())
    };
    let forward = read("/proc/sys/net/ipv4/ip_forward");
    let filter = read("/proc/sys/net/ipv4/conf/all/rp_filter");
    Finding::ok(
        HOST,
        format!(
            "net.ipv4.ip_forward = {forward}, rp_filter = {filter}: they matter only to packets that adc passes to the kernel, not to those it forwards itself"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[test]
    fn kernels_before_6_1_are_refused() {
        let cases = [
            ("6.1.0-18-amd64", Severity::Ok),
            ("6.18.44-custom", Severity::Ok),
            ("7.0", Severity::Ok),
            ("6.0.19", Severity::Error),
            ("5.15.0-91-generic", Severity::Error),
            ("odd", Severity::Warning),
        ];
        for (release, severity) in cases {
            assert_eq!(kernel(release).severity, severity, "{release}");
        }
    }

    #[test]
    fn missing_capabilities_are_named() {
        let all = capabilities("Name:\tadc\nCapEff:\t000001ffffffffff\n");
        assert_eq!(all.severity, Severity::Ok);
        let none = capabilities("CapEff:\t0000000000000000\n");
        assert_eq!(none.severity, Severity::Error);
        for name in ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_NET_RAW"] {
            assert!(none.what.contains(name), "{}", none.what);
        }
        let no_raw = capabilities("CapEff:\t000000c000001000\n");
        assert!(no_raw.what.contains("CAP_NET_RAW") && !no_raw.what.contains("CAP_BPF"));
        let admin = capabilities("CapEff:\t0000000000203000\n");
        assert_eq!(
            admin.severity,
            Severity::Ok,
            "CAP_SYS_ADMIN includes the newer ones"
        );
    }

    #[test]
    fn an_interpreter_is_an_error() {
        assert_eq!(jit_finding(&Ok("0\n".into())).severity, Severity::Error);
        assert_eq!(jit_finding(&Ok("1\n".into())).severity, Severity::Ok);
        let hidden = jit_finding(&Err(io::ErrorKind::NotFound.into()));
        assert_eq!(hidden.severity, Severity::Ok);
    }

    #[test]
    fn a_pin_path_outside_bpffs_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let finding = bpffs(&directory.path().join("adc"));
        assert_eq!(finding.severity, Severity::Warning);
        assert!(is_missing_bpffs(&finding));
        let remedy = finding.remedy.expect("a remedy");
        assert!(remedy.contains(&format!("mount -t bpf bpf {}", directory.path().display())));
    }

    #[test]
    fn a_kernel_without_btf_is_refused() {
        assert_eq!(btf(Path::new("/nonexistent")).severity, Severity::Error);
        assert_eq!(btf(Path::new("/proc")).severity, Severity::Ok);
    }
}
