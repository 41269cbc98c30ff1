//! A fast hash, for values that nobody chose to collide.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// One number of two, which depends on their order.
#[allow(clippy::cast_possible_truncation, reason = "its halves")]
pub(super) const fn mix(left: u64, right: u64) -> u64 {
    let product =
        (left ^ MULTIPLIER) as u128 * (right.rotate_left(32) ^ 0x243f_6a88_85a3_08d3) as u128;
    let [low, high] = [product as u64, (product >> 64) as u64];
    low ^ high
}

/// The hash of `bytes` under `seed`.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = mix(seed, bytes.len() as u64);
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_byte_and_the_length_count() {
        let mut texts = vec![vec![0_u8; 0]];
        for length in 1..40_usize {
            texts.push(vec![0; length]);
            for place in 0..length {
                let mut text = vec![0; length];
                text[place] = 1;
                texts.push(text);
            }
        }
        let hashes: HashSet<u64> = texts.iter().map(|text| hash(1, text)).collect();
        assert_eq!(hashes.len(), texts.len());
        assert_ne!(hash(1, b"a"), hash(2, b"a"));
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}
