//! Random bytes from the kernel: stream ids, nonces, salts, resources.

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// 32 hexadecimal digits that nobody can guess.
pub fn identifier() -> String {
    format!("{:032x}", u128::from_ne_bytes(bytes()))
}
