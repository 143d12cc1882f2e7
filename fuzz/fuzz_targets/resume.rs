//! The saved state of a download: any bytes are read in bounded memory, and what was read encodes
//! to what reads the same.
//!
//! Input: the encoding; the digest behind it is made here, since no chance would find it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout};
use ripcurrent_proto::meta::resume::{Resume, most_len};
use sha1::{Digest, Sha1};

fuzz_target!(|encoding: &[u8]| {
    let file = |name: &str, len| FileEntry {
        path: vec![name.into()],
        len,
        offset: 0,
        kind: FileKind::Regular { executable: false },
    };
    let files = vec![file("a", 300_000), file("b", 5)];
    let layout = Layout::new(65_536, files).expect("a layout");
    let mut state = encoding.to_vec();
    state.extend_from_slice(&Sha1::digest(encoding));
    let Some(resume) = Resume::decode(&state, &layout, [7; 20]) else {
        return;
    };
    let again = resume.encode();
    assert!(again.len() <= most_len(&layout));
    assert_eq!(Resume::decode(&again, &layout, [7; 20]), Some(resume));
});
