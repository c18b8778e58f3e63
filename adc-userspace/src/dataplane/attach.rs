//! Attaching to interfaces by bpf_link, and adopting the links of an earlier agent.

use std::{collections::BTreeMap, fs, io};

use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

use super::{error::DataplaneError, loader::Dataplane, pins::PinDirectory};
use crate::model::AttachMode;

/// What the program is attached to, by interface name.
#[derive(Clone, Debug, Default)]
pub struct Attachments(BTreeMap<String, AttachMode>);

impl Attachments {
    /// Interfaces and modes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, AttachMode)> {
        self.0.iter().map(|(name, mode)| (name.as_str(), *mode))
    }

    /// Whether the program is attached to this interface.
    pub fn contains(&self, interface: &str) -> bool {
        self.0.contains_key(interface)
    }
}

impl Dataplane {
    /// Attaches to an interface. If an earlier agent's link is pinned, its program is replaced atomically: no
    /// packet sees the interface without one. `Ok(true)` = adopted.
    pub fn attach(&mut self, interface: &str, mode: AttachMode) -> Result<bool, DataplaneError> {
        let (program, attachments, pins) = self.program()?;
        let adopted = match replace(program, pins, interface) {
            Ok(adopted) => adopted,
            Err(error) => return Err(refusal(interface, &error)),
        };
        if !adopted {
            attach_anew(program, pins, interface, mode)?;
        }
        attachments.0.insert(interface.into(), mode);
        Ok(adopted)
    }

    /// Detaches from an interface.
    pub fn detach(&mut self, interface: &str) -> Result<(), DataplaneError> {
        self.attachments.0.remove(interface);
        // The pin holds the only reference (see `replace` and `attach_anew`): without it the kernel detaches.
        PinDirectory::remove(&self.pins.link(interface))
    }

    /// Detaches from everything and removes all pins: the end of a clean stop.
    pub fn dismantle(&mut self) -> Result<(), DataplaneError> {
        self.attachments.0.clear();
        self.pins.remove_all()
    }
}

/// Puts our program on a pinned link; false if there is none that still works.
pub(super) fn replace(
    program: &mut Xdp,
    pins: &PinDirectory,
    interface: &str,
) -> Result<bool, AttachFailure> {
    let path = pins.link(interface);
    if !path.exists() {
        return Ok(false);
    }
    let pinned = PinnedLink::from_pin(&path).map_err(|error| AttachFailure::other(&error))?;
    // A link whose device was deleted has ENOLINK for every update; the interface of that name is a new one.
    let link =
        XdpLink::try_from(FdLink::from(pinned)).map_err(|error| AttachFailure::other(&error))?;
    match program.attach_to_link(link) {
        // Out of aya's hands, and closed: the pin is to be the only reference.
        Ok(id) => program
            .take_link(id)
            .map(|_closed| true)
            .map_err(|error| AttachFailure::other(&error)),
        Err(error) if errno_of(&error) == Some(libc::ENOLINK) => {
            fs::remove_file(&path).map_err(|error| AttachFailure::other(&error))?;
            Ok(false)
        }
        Err(error) => Err(AttachFailure::other(&error)),
    }
}

fn attach_anew(
    program: &mut Xdp,
    pins: &PinDirectory,
    interface: &str,
    mode: AttachMode,
) -> Result<(), DataplaneError> {
    let flags = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Skb => XdpMode::Skb,
    };
    let id = program
        .attach(interface, flags)
        .map_err(|error| refusal(interface, &AttachFailure::from_program(&error)))?;
    let link = program
        .take_link(id)
        .map_err(|error| refusal(interface, &AttachFailure::other(&error)))?;
    // aya falls back to netlink in silence when the kernel refuses a link; such an attachment would die with
    // the agent. Dropping it here detaches it again.
    let link = FdLink::try_from(link)
        .map_err(|error| refusal(interface, &AttachFailure::other(&error)))?;
    link.pin(pins.link(interface))
        .map(drop)
        .map_err(|error| refusal(interface, &AttachFailure::other(&error)))
}

/// Why an attachment failed, with the errno if there was one.
pub(super) struct AttachFailure {
    pub(super) errno: Option<i32>,
    pub(super) text: String,
}

impl AttachFailure {
    /// What to say of it.
    pub(super) fn refusal(&self, interface: &str) -> DataplaneError {
        refusal(interface, self)
    }

    pub(super) fn other(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            errno: errno_of(error),
            text: chain(error),
        }
    }

    pub(super) fn from_program(error: &ProgramError) -> Self {
        if matches!(error, ProgramError::UnknownInterface { .. }) {
            return Self {
                errno: Some(libc::ENODEV),
                text: "no such interface".into(),
            };
        }
        Self::other(error)
    }
}

pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The error number of the system call that failed, if one did.
pub(super) fn errno_of(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        next = cause.source();
    }
    None
}

fn refusal(interface: &str, failure: &AttachFailure) -> DataplaneError {
    let remedy = match failure.errno {
        Some(libc::ENODEV) => {
            "there is no such interface: correct dataplane.interfaces, or create it".to_owned()
        }
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "it already has an XDP program: detach that (`ip link set dev {interface} xdp off`), or stop its owner"
        ),
        Some(libc::EOPNOTSUPP) => {
            "its driver has no native XDP: use attach = \"skb\" (slower), or another NIC".to_owned()
        }
        Some(libc::EPERM) => "run adc as root, or with CAP_NET_ADMIN and CAP_BPF".to_owned(),
        Some(libc::ERANGE | libc::EINVAL) => format!(
            "the driver refused ({}): `adc doctor --interface {interface}` says why (often the MTU is too large, or LRO is on)",
            failure.text
        ),
        _ => format!(
            "{}; `adc doctor --interface {interface}` may say why",
            failure.text
        ),
    };
    DataplaneError::Attach {
        interface: interface.into(),
        reason: remedy,
    }
}
