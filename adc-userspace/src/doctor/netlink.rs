//! One netlink question and its answers, waited for. The doctor runs without a runtime, so it does not use the
//! resolver's connection.

use std::io;

use nix::sys::{
    socket::{setsockopt, sockopt},
    time::{TimeVal, TimeValLike},
};
use rtnetlink::{
    packet_core::{
        Emitable, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    },
    sys::{Socket, SocketAddr},
};

/// The kernel answers within microseconds or not at all.
const PATIENCE_SECONDS: i64 = 2;

/// How many answers are read at most, so that nothing can hold the doctor for ever.
const MOST_ANSWERS: usize = 100_000;

const HEADER: usize = 16;

/// The payloads of all answers to a message of that type.
///
/// `protocol` is NETLINK_ROUTE or NETLINK_GENERIC; with `dump` the kernel lists all objects.
pub(super) fn ask(
    protocol: isize,
    message_type: u16,
    dump: bool,
    payload: &[u8],
) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::seconds(PATIENCE_SECONDS),
    )?;
    socket.send_to(
        &request(message_type, dump, payload),
        &SocketAddr::new(0, 0),
        0,
    )?;

    let mut answers = Vec::new();
    while answers.len() < MOST_ANSWERS {
        let (datagram, _) = socket.recv_from_full()?;
        if take(&datagram, dump, &mut answers)? {
            return Ok(answers);
        }
    }
    Err(io::Error::other("the kernel's list does not end"))
}

fn request(message_type: u16, dump: bool, payload: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.message_type = message_type;
    header.flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { 0 };
    header.sequence_number = 1;
    header.length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    let mut message = vec![0; HEADER];
    header.emit(&mut message);
    message.extend(payload);
    message
}

/// Takes the answers out of a datagram; `true` if they were the last.
fn take(mut datagram: &[u8], dump: bool, answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(io::Error::other)?;
        let payload = message.payload();
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = payload
                    .first_chunk()
                    .map_or(0, |code| i32::from_ne_bytes(*code));
                return match code {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(-code)),
                };
            }
            _ => answers.push(payload.to_vec()),
        }
        let length = message.length() as usize;
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(!dump)
}
