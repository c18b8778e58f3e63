//! One message after the other on a stream: four bytes of length in network order, then JSON.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// More than any configuration: a length beyond it is no message of ours.
const MOST: usize = 16 << 20;

/// Reads the next message; `None` at the end of the stream. Not to be dropped half-way.
///
/// # Errors
/// The stream fails, ends inside a message, or carries something else ([`io::ErrorKind::InvalidData`]).
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let length = match from.read_u32().await {
        Ok(length) => usize::try_from(length).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MOST {
        let what = format!("a message of {length} bytes; {MOST} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(Some(serde_json::from_slice(&message)?))
}

/// Writes a message.
///
/// # Errors
/// The stream fails, or the message is too long for anybody to read.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let mut bytes = vec![0; size_of::<u32>()];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - size_of::<u32>();
    if length > MOST {
        let what = format!("a message of {length} bytes; {MOST} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    bytes[..size_of::<u32>()].copy_from_slice(&length.to_be_bytes());
    to.write_all(&bytes).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::message::{FromAgent, FromKeeper, Hello, Request},
        *,
    };

    /// All messages that these bytes are, until they are none; how many.
    fn heard<T: DeserializeOwned>(mut bytes: &[u8]) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let mut count = 0;
            while let Ok(Some(_)) = read::<T>(&mut bytes).await {
                count += 1;
            }
            count
        })
    }

    fn framed(text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&length.to_be_bytes()[..], text].concat()
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in_and_then_the_end() {
        let (mut near, mut far) = tokio::io::duplex(8);
        let written = tokio::spawn(async move {
            write(&mut near, &"first").await.unwrap();
            write(&mut near, &"").await.unwrap();
        });
        let mut read = async || read::<String>(&mut far).await.unwrap();
        assert_eq!(read().await.as_deref(), Some("first"));
        assert_eq!(read().await.as_deref(), Some(""));
        assert_eq!(read().await, None);
        written.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_before_it_takes_memory() {
        let mut long: &[u8] = &[0xff; 8];
        let refused = read::<String>(&mut long).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let mut cut: &[u8] = b"\0\0\0\x09\"first";
        let refused = read::<String>(&mut cut).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
        let mut other: &[u8] = b"\0\0\0\x02{}";
        assert!(read::<String>(&mut other).await.is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_messages_or_end_the_conversation(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for bytes in [framed(&bytes), bytes] {
                prop_assert_eq!(heard::<FromAgent>(&bytes), 0);
                prop_assert_eq!(heard::<FromKeeper>(&bytes), 0);
            }
        }

        #[test]
        fn a_message_that_was_touched_or_cut_is_another_or_none(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
            let hello = FromAgent::Hello(Hello::own().unwrap());
            let order = FromAgent::Ask(7, Request::Pools([("web".parse().unwrap(), 2)].into()));
            for message in [hello, order] {
                let good = serde_json::to_vec(&message).unwrap();
                prop_assert_eq!(heard::<FromAgent>(&framed(&good)), 1);
                let mut touched = good.clone();
                touched[at.index(good.len())] = value;
                prop_assert!(heard::<FromAgent>(&framed(&touched)) <= 1);
                prop_assert_eq!(heard::<FromAgent>(&framed(&good[..cut.index(good.len())])), 0);
                prop_assert_eq!(heard::<FromAgent>(&framed(&good)[..cut.index(good.len() + 4)]), 0);
            }
        }
    }
}
