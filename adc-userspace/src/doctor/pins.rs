//! Whether an attached XDP program is ours: held by a link that is pinned below our pin path.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// Directories below the pin path that are looked into: layout version, kind.
const DEPTH: usize = 3;

/// `BPF_OBJ_GET` (linux/bpf.h).
const OBJ_GET: libc::c_int = 7;

/// The part of `union bpf_attr` that BPF_OBJ_GET reads; the kernel takes the rest as zero.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Whether a link pinned below `pin_path` holds that program on that interface. Fails without the rights to
/// look.
pub(super) fn holds(pin_path: &Path, ifindex: u32, program: u32) -> io::Result<bool> {
    for path in pinned(pin_path, DEPTH)? {
        let object = match open(&path) {
            Ok(object) => object,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // Not a pinned object, or gone meanwhile.
            Err(_) => continue,
        };
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?;
        if is_link(&about, ifindex, program) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a `/proc/PID/fdinfo` text is that of an XDP link with that program on that interface.
fn is_link(about: &str, ifindex: u32, program: u32) -> bool {
    let value = |key: &str| {
        about
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(str::trim)
    };
    value("link_type") == Some("xdp")
        && value("prog_id") == Some(program.to_string().as_str())
        && value("ifindex") == Some(ifindex.to_string().as_str())
}

fn pinned(directory: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            found.push(entry.path());
        } else if depth > 0 {
            found.extend(pinned(&entry.path(), depth - 1)?);
        }
    }
    Ok(found)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let request = ObjGet {
        pathname: path.as_ptr().expose_provenance() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: `request` is a prefix of `union bpf_attr` of the size given, and the path it points to is
    // NUL-terminated and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET,
            &raw const request,
            size_of::<ObjGet>(),
        )
    };
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "pos:\t0\nflags:\t02000002\nlink_type:\txdp\nlink_id:\t3\nprog_tag:\tabc\nprog_id:\t41\nifindex:\t7\n";

    #[test]
    fn only_a_link_with_that_program_on_that_interface_counts() {
        assert!(is_link(LINK, 7, 41));
        assert!(!is_link(LINK, 8, 41), "another interface");
        assert!(!is_link(LINK, 7, 4), "another program");
        assert!(
            !is_link("prog_type:\t6\nprog_id:\t41\n", 7, 41),
            "a pinned program"
        );
        assert!(
            !is_link(&LINK.replace("xdp", "tcx"), 7, 41),
            "another kind of link"
        );
    }

    #[test]
    fn without_a_pin_path_nothing_is_ours() {
        let held = holds(Path::new("/nonexistent/adc"), 1, 1).expect("nothing to look at");
        assert!(!held);
    }
}
