//! A conversation played to a codec, in pieces of any size.

use super::{ClientMessage, Codec, ProtocolError, ServerMessage};

/// Who says something, and what.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Line<'a> {
    Client(&'a [u8]),
    Server(&'a [u8]),
}

/// What a codec makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Observed {
    ClientMessage(ClientMessage),
    /// The lengths of the messages that a server's bytes are, up to an end of a reply.
    Reply(Vec<usize>),
    Unasked(usize),
    Edited(Vec<u8>),
}

/// Plays a conversation as a connection does: a request is expected as soon as it is complete, and
/// what the server says is read to its end before the client is read again. `piece`: how many bytes
/// come at once.
pub(in super::super) fn play(
    codec: &mut dyn Codec,
    lines: &[Line<'_>],
    piece: usize,
) -> Result<Vec<Observed>, ProtocolError> {
    let mut observed = Vec::new();
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    for line in lines {
        let mut reply = Vec::new();
        let bytes = match line {
            Line::Client(bytes) | Line::Server(bytes) => bytes,
        };
        for piece in bytes.chunks(piece) {
            match line {
                Line::Client(_) => from_client.extend_from_slice(piece),
                Line::Server(_) => from_server.extend_from_slice(piece),
            }
            while let Some((length, received)) = codec.received(&from_server)? {
                assert!(length > 0 && length <= from_server.len());
                from_server.drain(..length);
                match received {
                    ServerMessage::Edited(bytes) => observed.push(Observed::Edited(bytes)),
                    ServerMessage::Message => reply.push(length),
                    ServerMessage::Last => {
                        reply.push(length);
                        observed.push(Observed::Reply(std::mem::take(&mut reply)));
                    }
                }
            }
            while let Line::Client(_) = line
                && let Some((length, sent)) = codec.sent(&from_client)?
            {
                assert!(length > 0 && length <= from_client.len());
                from_client.drain(..length);
                if let ClientMessage::Request(request) = &sent {
                    codec.expect(request);
                }
                if sent != ClientMessage::Part {
                    observed.push(Observed::ClientMessage(sent));
                }
            }
        }
        observed.extend(reply.into_iter().map(Observed::Unasked));
    }
    assert_eq!((from_client.len(), from_server.len()), (0, 0), "unread");
    Ok(observed)
}

/// The same is observed however the bytes are cut into pieces.
pub(in super::super) fn play_in_pieces<C: Codec + Default>(lines: &[Line<'_>]) -> Vec<Observed> {
    let whole = play(&mut C::default(), lines, usize::MAX).unwrap();
    for piece in 1..=64 {
        let pieces = play(&mut C::default(), lines, piece).unwrap();
        assert_eq!(pieces, whole, "in pieces of {piece}");
    }
    whole
}

/// Bytes that are no protocol: whatever comes, it does not panic, and takes no more than there is.
/// What is said first is true, so that it comes to every phase.
pub(in super::super) fn survive_garbage<C: Codec + Default>(beginning: &[Line<'_>]) {
    let mut seed = 1_u64;
    let mut next = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        seed >> 33
    };
    let mut bytes = Vec::new();
    for round in 0..20_000 {
        let known = round % (beginning.len() + 1);
        let mut codec = C::default();
        play(&mut codec, &beginning[..known], usize::MAX).unwrap();
        bytes.clear();
        for line in &beginning[known..] {
            match line {
                Line::Client(said) | Line::Server(said) => bytes.extend_from_slice(said),
            }
        }
        bytes.extend((0..next() % 64).map(|_| next().to_le_bytes()[0]));
        for _ in 0..=next() % 8 {
            let at = usize::try_from(next()).unwrap() % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = next().to_le_bytes()[0];
            }
        }
        let mut rest = bytes.as_slice();
        loop {
            let taken = if next() % 2 == 0 {
                codec.sent(rest).map(|sent| {
                    sent.map(|(length, sent)| {
                        if let ClientMessage::Request(request) = &sent {
                            codec.expect(request);
                        }
                        length
                    })
                })
            } else {
                codec
                    .received(rest)
                    .map(|received| received.map(|(length, _)| length))
            };
            match taken {
                Ok(Some(length)) => rest = &rest[length..],
                Ok(None) | Err(_) => break,
            }
            codec.session_end();
        }
    }
}
