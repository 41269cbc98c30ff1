//! What names a message to its consumer.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::source::Incoming;
use crate::store::MessageId;

/// What an index of every database takes.
const LONGEST: usize = 1_000;

/// What an ID begins with that is a place, and one that is a hash.
pub(super) const POSITION: &str = "position:";
pub(super) const SHA256: &str = "sha256:";

/// What an ID begins with that was made up.
pub(super) const UNNAMED: &str = "unnamed:";

/// The source and the ID that the producer gave it; else its place with the broker; else what its
/// bytes are. Two deliveries of one message have the same, whatever the producer forgot.
pub(crate) fn message_id(incoming: &Incoming) -> MessageId {
    let id = if !incoming.id.is_empty() {
        incoming.id.clone()
    } else if !incoming.position.is_empty() {
        format!("{POSITION}{}", incoming.position)
    } else {
        hashed(&incoming.body)
    };
    MessageId {
        source: storable(incoming.source.clone()),
        id: storable(id),
    }
}

/// The same for a message that is stored by hand. One that nothing names is a message of its own:
/// two payments of one amount are two.
pub(crate) fn stored_message_id(incoming: &Incoming) -> MessageId {
    let mut message = message_id(incoming);
    if incoming.id.is_empty() && incoming.position.is_empty() {
        message.id = format!("{UNNAMED}{}", Uuid::now_v7());
    }
    message
}

/// What can be stored as it is stays so.
fn storable(text: String) -> String {
    if text.len() > LONGEST || text.contains('\0') {
        hashed(text.as_bytes())
    } else {
        text
    }
}

fn hashed(bytes: &[u8]) -> String {
    format!("{SHA256}{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(id: &str, position: &str, body: &str) -> Incoming {
        let mut incoming = Incoming::new(body);
        incoming.source = "/shop".into();
        incoming.id = id.into();
        incoming.position = position.into();
        incoming
    }

    #[test]
    fn a_message_without_an_id_is_known_by_its_place_and_else_by_its_bytes() {
        let id = |id, position, body| message_id(&incoming(id, position, body)).id;
        assert_eq!(id("evt_1", "orders/3/7", "b"), "evt_1");
        assert_eq!(id("", "orders/3/7", "b"), "position:orders/3/7");
        let by_bytes = id("", "", "b");
        assert!(by_bytes.starts_with("sha256:"), "{by_bytes}");
        assert_eq!(by_bytes, id("", "", "b"));
        assert_ne!(by_bytes, id("", "", "c"));
    }

    #[test]
    fn what_is_stored_without_a_name_is_never_a_duplicate() {
        let unnamed = incoming("", "", "b");
        let ids = [(); 2].map(|()| stored_message_id(&unnamed).id);
        assert_ne!(ids[0], ids[1]);
        let named = incoming("evt_1", "", "b");
        assert_eq!(stored_message_id(&named), message_id(&named));
    }

    #[test]
    fn an_id_that_no_index_takes_is_hashed() {
        let long = "é".repeat(LONGEST);
        let ids = [&*long, "a\0b", "a"].map(|id| message_id(&incoming(id, "", "")).id);
        assert!(ids[0].starts_with("sha256:") && ids[1].starts_with("sha256:"));
        assert_eq!(ids[2], "a");
    }
}
