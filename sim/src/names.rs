//! The names of a simulated world.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ripcurrent_proto::api::{IoError, IoErrorKind};

/// Which addresses each name has.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, Vec<IpAddr>>);

impl Names {
    /// Gives `name` one more address.
    pub fn add(&mut self, name: &str, addr: IpAddr) {
        self.0.entry(name.to_owned()).or_default().push(addr);
    }

    /// The addresses of `name`, in the order in which they were given.
    ///
    /// # Errors
    /// [`IoErrorKind::NotFound`] for a name that nothing has.
    pub fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, IoError> {
        let refusal = IoError {
            kind: IoErrorKind::NotFound,
            code: 0,
        };
        self.0.get(name).cloned().ok_or(refusal)
    }
}
