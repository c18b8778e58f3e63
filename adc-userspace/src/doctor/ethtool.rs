//! Offload settings and queues, through the ethtool ioctl (linux/ethtool.h), which every supported kernel has.

use std::{collections::BTreeSet, io, os::fd::AsRawFd};

use socket2::{Domain, Socket, Type};

const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_COUNT: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const GET_CHANNELS: u32 = 0x3c;

/// `SIOCETHTOOL` (linux/sockios.h).
const ETHTOOL: libc::c_ulong = 0x8946;

/// The string set that names the features (`ETH_SS_FEATURES`).
const FEATURE_NAMES: u32 = 4;

/// Bytes of one name (`ETH_GSTRING_LEN`).
const NAME: usize = 32;

/// More features than any kernel has: a count beyond it is not believed.
const MOST_FEATURES: u32 = 1024;

/// Words of `struct ethtool_drvinfo`; the driver's name is 32 bytes behind the command.
const DRIVER_WORDS: usize = 49;

/// How many receive queues an interface uses, and could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    /// In use, combined ones included.
    pub(super) receive: u32,
    /// At most.
    pub(super) most: u32,
    /// Each queue serves both directions, so both are set together.
    pub(super) combined: bool,
}

/// The driver's name.
pub(super) fn driver(interface: &str) -> io::Result<String> {
    let mut words = vec![0; DRIVER_WORDS];
    words[0] = GET_DRIVER;
    call(interface, &mut words)?;
    Ok(text(&bytes(&words[1..])[..NAME]))
}

/// The names of all features that are on, as `ethtool -k` has them, in the kernel's spelling (`rx-lro`).
pub(super) fn features(interface: &str) -> io::Result<BTreeSet<String>> {
    let count = feature_count(interface)?;
    let names = feature_names(interface, count)?;
    let blocks = count.div_ceil(32);
    // Command and block count; then per block: available, requested, active, never changed.
    let mut words = vec![0; 2 + 4 * blocks as usize];
    (words[0], words[1]) = (GET_FEATURES, blocks);
    call(interface, &mut words)?;
    let active = |bit: usize| {
        let word = words.get(2 + 4 * (bit / 32) + 2);
        word.is_some_and(|word| word & (1 << (bit % 32)) != 0)
    };
    let on = names
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| active(*bit));
    Ok(on.map(|(_, name)| name).collect())
}

/// The queues.
pub(super) fn channels(interface: &str) -> io::Result<Channels> {
    // Command; at most rx, tx, other, combined; in use rx, tx, other, combined.
    let mut words = vec![0; 9];
    words[0] = GET_CHANNELS;
    call(interface, &mut words)?;
    Ok(Channels {
        receive: words[5].saturating_add(words[8]),
        most: words[1].max(words[4]),
        combined: words[4] > 0,
    })
}

fn feature_count(interface: &str) -> io::Result<u32> {
    // Command, reserved, 64-bit mask of sets asked for, then one count per set that exists.
    let mut words = vec![0; 5];
    words[0] = GET_STRING_COUNT;
    let mask = (1_u64 << FEATURE_NAMES).to_ne_bytes();
    for (word, half) in words[2..4].iter_mut().zip(mask.chunks_exact(4)) {
        *word = half.try_into().map_or(0, u32::from_ne_bytes);
    }
    call(interface, &mut words)?;
    match words[4] {
        count if count <= MOST_FEATURES => Ok(count),
        count => Err(io::Error::other(format!(
            "{count} features are too many to be true"
        ))),
    }
}

fn feature_names(interface: &str, count: u32) -> io::Result<Vec<String>> {
    // Command, set, count; then the names.
    let mut words = vec![0; 3 + count as usize * NAME / 4];
    (words[0], words[1], words[2]) = (GET_STRINGS, FEATURE_NAMES, count);
    call(interface, &mut words)?;
    Ok(bytes(&words[3..]).chunks_exact(NAME).map(text).collect())
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn text(raw: &[u8]) -> String {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    String::from_utf8_lossy(&raw[..end]).into_owned()
}

/// One ethtool command. `words` starts with the command and is as long as the kernel's structure for it, with
/// the counts inside that structure set to the room there is.
fn call(interface: &str, words: &mut [u32]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the name must end.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: the request outlives the call; its data points to `words`, which is aligned, alive and large
    // enough for what the kernel writes for this command (callers size it by the structure, see above).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), ETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
