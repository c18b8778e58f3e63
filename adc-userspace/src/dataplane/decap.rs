//! The decapsulator for backends: a program and maps of its own, which live as long as this process.

use std::{collections::BTreeSet, net::IpAddr};

use adc_common::abi::{Addr16, DecapOutcome, DecapSettings, MAX_DECAP_VIPS, Port};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, HashMap, MapError, PerCpuArray},
    programs::{Xdp, XdpMode, links::FdLink},
};

use super::{
    attach::AttachFailure,
    error::DataplaneError,
    interfaces::InterfaceRow,
    loader::{Maps, load_error},
    mapped::Mapped,
};
use crate::{model::AttachMode, neighbours::InterfaceFacts};

/// Name of the entry point in the object.
const PROGRAM: &str = "adc_decap";

/// The object as `build.rs` embeds it; empty in a build without BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/adc-xdp-decap"));

/// An attached decapsulator. Dropping it, or the end of the process however it comes, detaches it.
pub struct Decapsulator {
    ebpf: Ebpf,
    told: DecapSettings,
    settings: Array<aya::maps::MapData, Mapped<DecapSettings>>,
    counters: PerCpuArray<aya::maps::MapData, u64>,
    link: Option<FdLink>,
}

impl Decapsulator {
    /// Loads and attaches it. No VIPs = packets to any address are taken out. `facts` = what the kernel says about the
    /// interface, if it exists.
    pub fn start(
        interface: &str,
        facts: Option<&InterfaceFacts>,
        mode: AttachMode,
        vips: &BTreeSet<IpAddr>,
        port: u16,
    ) -> Result<Self, DataplaneError> {
        if OBJECT.is_empty() {
            return Err(DataplaneError::NoObject);
        }
        if vips.len() > MAX_DECAP_VIPS as usize {
            return Err(refusal(
                interface,
                format!("{} VIPs are more than {MAX_DECAP_VIPS}", vips.len()),
            ));
        }
        let mut ebpf = load()?;
        let settings = tell(&mut ebpf, vips)?;
        let fail = |error: MapError| DataplaneError::map("opening", "DECAP_COUNTERS", error);
        let counters = Maps::of(&mut ebpf)
            .take("DECAP_COUNTERS")?
            .try_into()
            .map_err(fail)?;
        let told = DecapSettings {
            port: Port::new(port),
            known_vips_only: u8::from(!vips.is_empty()),
            ..DecapSettings::default()
        };
        let mut loaded = Self {
            ebpf,
            told,
            settings,
            counters,
            link: None,
        };
        loaded.follow(facts)?;
        loaded.link = Some(attach(&mut loaded.ebpf, interface, mode)?);
        Ok(loaded)
    }

    /// Takes frames to the MACs that the interface has now.
    pub fn follow(&mut self, facts: Option<&InterfaceFacts>) -> Result<(), DataplaneError> {
        if let Some(facts) = facts {
            let (row, _) = InterfaceRow::of(facts);
            self.told.mac = row.mac;
            self.told.other_macs = row.other_macs;
        }
        self.settings
            .set(0, Mapped(self.told), 0)
            .map_err(|error| DataplaneError::map("writing", "DECAP_SETTINGS", error))
    }

    /// Packets by outcome, summed over CPUs.
    pub fn counts(&self) -> Result<Vec<(DecapOutcome, u64)>, DataplaneError> {
        DecapOutcome::ALL
            .iter()
            .map(|outcome| {
                let cpus = self
                    .counters
                    .get(&(*outcome as u32), 0)
                    .map_err(|error| DataplaneError::map("reading", "DECAP_COUNTERS", error))?;
                Ok((*outcome, cpus.iter().sum()))
            })
            .collect()
    }
}

impl std::fmt::Debug for Decapsulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let programs = self.ebpf.programs().count();
        f.debug_struct("Decapsulator")
            .field("programs", &programs)
            .field("attached", &self.link.is_some())
            .finish_non_exhaustive()
    }
}

fn load() -> Result<Ebpf, DataplaneError> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    let mut ebpf = loader.load(OBJECT).map_err(|error| load_error(&error))?;
    let program = program(&mut ebpf)?;
    program.load().map_err(|error| load_error(&error))?;
    Ok(ebpf)
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, DataplaneError> {
    ebpf.program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| DataplaneError::Load {
            reason: format!("the embedded object has no XDP program `{PROGRAM}`; build adc again"),
        })
}

/// Fills in the VIPs, before a packet meets the program. (After it is loaded, which needs the maps' descriptors.)
fn tell(
    ebpf: &mut Ebpf,
    vips: &BTreeSet<IpAddr>,
) -> Result<Array<aya::maps::MapData, Mapped<DecapSettings>>, DataplaneError> {
    let mut maps = Maps::of(ebpf);
    let mut wanted = HashMap::<_, Mapped<Addr16>, u32>::try_from(maps.take("DECAP_VIPS")?)
        .map_err(|error| DataplaneError::map("opening", "DECAP_VIPS", error))?;
    for vip in vips {
        wanted
            .insert(Mapped(Addr16::from(*vip)), 1, 0)
            .map_err(|error| DataplaneError::map("writing", "DECAP_VIPS", error))?;
    }
    maps.take("DECAP_SETTINGS")?
        .try_into()
        .map_err(|error| DataplaneError::map("opening", "DECAP_SETTINGS", error))
}

fn attach(ebpf: &mut Ebpf, interface: &str, mode: AttachMode) -> Result<FdLink, DataplaneError> {
    let program = program(ebpf)?;
    let flags = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Skb => XdpMode::Skb,
    };
    let id = program
        .attach(interface, flags)
        .map_err(|error| remedy(interface, &AttachFailure::from_program(&error)))?;
    let link = program
        .take_link(id)
        .map_err(|error| remedy(interface, &AttachFailure::other(&error)))?;
    // aya falls back to netlink in silence when the kernel refuses a link; that would outlive this process.
    FdLink::try_from(link).map_err(|error| remedy(interface, &AttachFailure::other(&error)))
}

fn remedy(interface: &str, failure: &AttachFailure) -> DataplaneError {
    let reason = match failure.errno {
        Some(libc::ENODEV) => {
            "there is no such interface: `ip link` lists those that there are".to_owned()
        }
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "it already has an XDP program: detach that (`ip link set dev {interface} xdp off`), or stop its owner"
        ),
        Some(libc::EOPNOTSUPP) => {
            "its driver has no native XDP: use --mode skb (slower), or another NIC".to_owned()
        }
        Some(libc::EPERM) => "run this as root, or with CAP_NET_ADMIN and CAP_BPF".to_owned(),
        _ => format!(
            "{}; `adc doctor --interface {interface}` may say why",
            failure.text
        ),
    };
    refusal(interface, reason)
}

fn refusal(interface: &str, reason: String) -> DataplaneError {
    DataplaneError::Decap {
        interface: interface.into(),
        reason,
    }
}
