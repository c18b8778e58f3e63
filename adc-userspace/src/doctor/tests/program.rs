//! An XDP program that is on the interface already: a two-instruction one, loaded here.

use std::{
    ffi::CString,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{super::examine, Namespace, Severity, attach_refusal, is_root, says};

/// Commands and constants of bpf(2) (linux/bpf.h, linux/if_link.h).
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const LINK_CREATE: libc::c_int = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit`, as the kernel's instruction words.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];

/// bpf(2) with an attribute given as words; pointers in it must be alive.
fn bpf(command: libc::c_int, attribute: &[u64]) -> OwnedFd {
    // SAFETY: the attribute is a prefix of `union bpf_attr` of the size given, and callers keep what it
    // points to alive.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attribute.as_ptr(),
            size_of_val(attribute),
        )
    };
    assert!(
        fd >= 0,
        "bpf command {command}: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: a descriptor that the kernel has just given out (not so for OBJ_PIN, see `pin`).
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn fd(of: &OwnedFd) -> u32 {
    u32::try_from(of.as_raw_fd()).expect("not negative")
}

fn attach(ifindex: u32) -> OwnedFd {
    let license = CString::new("Dual MIT/GPL").expect("no NUL");
    let program = bpf(
        PROG_LOAD,
        &[
            pair(PROG_TYPE_XDP, 2),
            PASS.as_ptr().expose_provenance() as u64,
            license.as_ptr().expose_provenance() as u64,
        ],
    );
    bpf(
        LINK_CREATE,
        &[
            pair(fd(&program), ifindex),
            pair(ATTACH_XDP, XDP_FLAGS_DRV_MODE),
        ],
    )
}

fn pin(link: &OwnedFd, path: &Path) {
    let path = CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    let attribute = [path.as_ptr().expose_provenance() as u64, pair(fd(link), 0)];
    // SAFETY: as in `bpf`; this command gives 0 and no descriptor.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_PIN,
            attribute.as_ptr(),
            size_of_val(&attribute),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A bpf file system at `path`, seen by this thread only.
fn private_bpffs(path: &Path) {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).expect("root may");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
    mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), none).expect("bpffs");
}

#[test]
fn a_strangers_program_is_refused_and_our_own_is_recognised_by_its_pin() {
    if !is_root("a_strangers_program_is_refused_and_our_own_is_recognised_by_its_pin") {
        return;
    }
    let node = Namespace::new();
    node.ip("link add a0 type veth peer name b0");
    node.ip("link set a0 up");
    let root = tempfile::tempdir().expect("a directory");
    node.enter(|| {
        private_bpffs(root.path());
        let pins = root.path().join("adc");
        let names = ["a0".to_owned()];
        let link = attach(nix::net::if_::if_nametoindex("a0").expect("it exists"));

        let findings = examine(&names, &pins);
        assert_eq!(
            says(&findings, "not adc's"),
            Some(Severity::Error),
            "{findings:?}"
        );
        assert_eq!(
            says(&findings, "a bpf file system holds"),
            Some(Severity::Ok)
        );
        let refusal = attach_refusal("a0", &pins);
        assert!(
            refusal.contains("an XDP program that is not adc's"),
            "{refusal}"
        );
        assert!(refusal.contains("native mode"), "{refusal}");

        let directory = pins.join("v1").join("links");
        std::fs::create_dir_all(&directory).expect("in bpffs");
        pin(&link, &directory.join("a0"));
        let findings = examine(&names, &pins);
        assert_eq!(
            says(&findings, "adc's own XDP program"),
            Some(Severity::Ok),
            "{findings:?}"
        );
    });
}
