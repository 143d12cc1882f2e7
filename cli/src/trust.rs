//! Whom the user trusts to vouch for HTTPS trackers besides those whom the system trusts.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use ripcurrent_runtime_uring::Roots;

use crate::escape::Escaped;
use crate::exit::Failure;

/// Whom to trust besides.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrustArgs {
    /// Trust the authorities in this file (PEM) as well as the system's to vouch for HTTPS trackers;
    /// may be given several times.
    #[arg(long = "ca", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) authorities: Vec<PathBuf>,
}

/// The most bytes of a file of certificates: those of a whole system are some 200 KiB.
const LONGEST: u64 = 8 << 20;

/// The certificates in all files that are named.
pub(crate) fn roots(args: &TrustArgs) -> Result<Roots, Failure> {
    let mut roots = Roots::default();
    for path in &args.authorities {
        let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("--ca {} cannot be used", Escaped::path(path));
            let failure = Failure::usage(what).because(cause);
            failure.remedy("Name a file of certificates in PEM.")
        };
        let text = read(path).map_err(|error| unusable(error.into()))?;
        roots.extend(Roots::from_pem(&text).map_err(|error| unusable(error.into()))?);
    }
    Ok(roots)
}

/// At most [`LONGEST`] bytes; a certificate that is cut there is told as one that is broken.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}
