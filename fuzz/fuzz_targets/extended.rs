//! The handshake of the extension protocol: any bytes are read in bounded memory, and what was read
//! encodes to what reads the same.
//!
//! Input: the payload after the id.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_proto::wire::extended::ExtendedHandshake;

fuzz_target!(|payload: &[u8]| {
    let Ok(mut told) = ExtendedHandshake::decode(payload) else {
        return;
    };
    assert!(told.extensions.len() <= 64);
    // Bytes that are not text become longer when they are written as text, and may be cut anew.
    if told
        .client
        .as_ref()
        .is_some_and(|client| client.len() > 128)
    {
        assert!(
            told.client
                .take()
                .is_some_and(|client| client.len() <= 3 * 128)
        );
    }
    let mut encoded = Vec::new();
    told.encode(&mut encoded);
    assert_eq!(ExtendedHandshake::decode(&encoded), Ok(told));
});
