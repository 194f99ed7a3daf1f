//! What is sent: the same bytes in every client, neither constant nor noise, so that compression has something to do.

use bytes::Bytes;

/// Bytes that payloads are cut from; a megabyte does not repeat within a request.
const POOL: usize = 1 << 20;

/// Distance between the beginnings of two payloads; odd, so that all beginnings occur.
const STEP: usize = 61;

/// Words of eight bytes. Between two of them stand eight random digits.
const WORDS: [&[u8; 8]; 8] = [
    b"\"order\":",
    b"\"price\":",
    b"\"status\"",
    b"customer",
    b"shipped,",
    b"\"items\":",
    b"currency",
    b"quantity",
];

/// Payloads of one size.
#[derive(Debug, Clone)]
pub struct Payloads {
    pool: Bytes,
    size: usize,
}

impl Payloads {
    /// # Panics
    /// When `size` is zero, because then there is no first byte to read, or more than 512 KiB.
    #[must_use]
    pub fn new(size: usize) -> Self {
        assert!((1..=POOL / 2).contains(&size), "payloads have from 1 to {} bytes", POOL / 2);
        let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut pool = Vec::with_capacity(POOL);
        while pool.len() < POOL {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_le_bytes();
            pool.extend_from_slice(WORDS[usize::from(bytes[0] & 7)]);
            let digits = state.rotate_left(32).to_le_bytes();
            pool.extend(digits.map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        Self { pool: pool.into(), size }
    }

    /// The payload of record `number`, which shares the pool's memory.
    #[must_use]
    pub fn get(&self, number: usize) -> Bytes {
        let begin = number.wrapping_mul(STEP) % (POOL - self.size);
        self.pool.slice(begin..begin + self.size)
    }

    /// The same as a slice, for clients that copy.
    #[must_use]
    pub fn slice(&self, number: usize) -> &[u8] {
        let begin = number.wrapping_mul(STEP) % (POOL - self.size);
        &self.pool[begin..begin + self.size]
    }
}
