//! Changes to a finished frame that no builder would make.

/// With one bit inverted; bits are counted from the most significant of the first byte.
#[must_use]
pub fn flip_bit(frame: &[u8], bit: usize) -> Vec<u8> {
    let mut damaged = frame.to_vec();
    damaged[bit / 8] ^= 0x80 >> (bit % 8);
    damaged
}

/// With one byte replaced.
#[must_use]
pub fn set_byte(frame: &[u8], offset: usize, value: u8) -> Vec<u8> {
    let mut damaged = frame.to_vec();
    damaged[offset] = value;
    damaged
}

/// With two bytes replaced, network order.
#[must_use]
pub fn set_word(frame: &[u8], offset: usize, value: u16) -> Vec<u8> {
    let mut damaged = frame.to_vec();
    damaged[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
    damaged
}

/// Where the IP header of a well-formed frame starts.
pub fn ip_offset(frame: &[u8]) -> usize {
    let mut offset = 12;
    while matches!(frame[offset..offset + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        offset += 4;
    }
    offset + 2
}

/// Where the TCP or UDP header of a well-formed frame without IPv6 extension headers starts.
pub fn transport_offset(frame: &[u8]) -> usize {
    let ip = ip_offset(frame);
    match frame[ip] >> 4 {
        4 => ip + usize::from(frame[ip] & 0xf) * 4,
        _ => ip + 40,
    }
}
