//! How values are written and read back: numbers in groups of seven bits, the lowest first; byte
//! strings behind their length.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::BadRecord;
use crate::api::{DiskError, EndReason, IoError, IoErrorKind, TlsError};
use crate::base::id::{ConnId, Id, OpId};
use crate::meta::layout::FileIndex;

/// The refusals of the world, by the number they are written as.
const KINDS: [IoErrorKind; 13] = [
    IoErrorKind::NotFound,
    IoErrorKind::Forbidden,
    IoErrorKind::NoSpace,
    IoErrorKind::ReadOnly,
    IoErrorKind::TooShort,
    IoErrorKind::InTheWay,
    IoErrorKind::TooManyOpen,
    IoErrorKind::Refused,
    IoErrorKind::Reset,
    IoErrorKind::Unreachable,
    IoErrorKind::TimedOut,
    IoErrorKind::Other,
    IoErrorKind::InUse,
];

/// Writes values behind each other.
#[derive(Debug, Default)]
pub(super) struct Pen(pub(super) Vec<u8>);

impl Pen {
    pub(super) fn tag(&mut self, tag: u8) {
        self.0.push(tag);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// One more than the number; 0 for none.
    pub(super) fn maybe(&mut self, number: Option<u64>) {
        self.number(number.map_or(0, |number| number + 1));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn id(&mut self, id: Id) {
        self.number(id.slot().into());
        self.number(id.generation().into());
    }

    pub(super) fn conn(&mut self, conn: ConnId) {
        self.id(conn.0);
    }

    pub(super) fn op(&mut self, op: OpId) {
        self.id(op.0);
    }

    pub(super) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }

    pub(super) fn addr(&mut self, addr: SocketAddr) {
        self.ip(addr.ip());
        self.number(addr.port().into());
    }

    pub(super) fn io_error(&mut self, error: IoError) {
        let kind = KINDS.iter().position(|kind| *kind == error.kind);
        self.number(kind.expect("every kind is in the list") as u64);
        self.number(u64::from(error.code.cast_unsigned()));
    }

    pub(super) fn reason(&mut self, reason: EndReason) {
        match reason {
            EndReason::Eof => self.tag(0),
            EndReason::Failed(error) => {
                self.tag(1);
                self.io_error(error);
            }
            EndReason::Tls(error) => {
                self.tag(2);
                self.number(error.number());
            }
        }
    }

    pub(super) fn disk_result(&mut self, result: Result<(), DiskError>) {
        match result {
            Ok(()) => self.tag(0),
            Err(error) => {
                self.tag(1);
                self.disk_error(error);
            }
        }
    }

    pub(super) fn disk_error(&mut self, error: DiskError) {
        self.maybe(error.file.map(|file| file.0.into()));
        self.io_error(error.error);
    }
}

/// Reads values from the front of what is left.
#[derive(Clone, Debug)]
pub(super) struct Eye<'a>(pub(super) &'a [u8]);

impl<'a> Eye<'a> {
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn tag(&mut self) -> Result<u8, BadRecord> {
        let (first, rest) = self.0.split_first().ok_or(BadRecord::CutOff)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, BadRecord> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.tag()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BadRecord::Value)
    }

    /// A number that must fit its type.
    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, BadRecord> {
        T::try_from(self.number()?).map_err(|_| BadRecord::Value)
    }

    pub(super) fn maybe(&mut self) -> Result<Option<u64>, BadRecord> {
        Ok(self.number()?.checked_sub(1))
    }

    pub(super) fn flag(&mut self) -> Result<bool, BadRecord> {
        match self.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadRecord::Value),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BadRecord> {
        let len = self.small()?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadRecord::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadRecord::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn id(&mut self) -> Result<Id, BadRecord> {
        Ok(Id::from_parts(self.small()?, self.small()?))
    }

    pub(super) fn conn(&mut self) -> Result<ConnId, BadRecord> {
        self.id().map(ConnId)
    }

    pub(super) fn op(&mut self) -> Result<OpId, BadRecord> {
        self.id().map(OpId)
    }

    pub(super) fn ip(&mut self) -> Result<IpAddr, BadRecord> {
        let bytes = self.bytes()?;
        let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
        let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?));
        v4().or_else(v6).ok_or(BadRecord::Value)
    }

    pub(super) fn addr(&mut self) -> Result<SocketAddr, BadRecord> {
        Ok(SocketAddr::new(self.ip()?, self.small()?))
    }

    pub(super) fn io_error(&mut self) -> Result<IoError, BadRecord> {
        let kind = KINDS.get(self.small::<usize>()?).ok_or(BadRecord::Value)?;
        let code = self.small::<u32>()?.cast_signed();
        Ok(IoError { kind: *kind, code })
    }

    pub(super) fn reason(&mut self) -> Result<EndReason, BadRecord> {
        match self.tag()? {
            0 => Ok(EndReason::Eof),
            1 => self.io_error().map(EndReason::Failed),
            2 => {
                let error = TlsError::from_number(self.number()?);
                error.map(EndReason::Tls).ok_or(BadRecord::Value)
            }
            _ => Err(BadRecord::Value),
        }
    }

    pub(super) fn disk_result(&mut self) -> Result<Result<(), DiskError>, BadRecord> {
        match self.flag()? {
            false => Ok(Ok(())),
            true => self.disk_error().map(Err),
        }
    }

    pub(super) fn disk_error(&mut self) -> Result<DiskError, BadRecord> {
        let file = self.maybe()?.map(u32::try_from).transpose();
        let file = file.map_err(|_| BadRecord::Value)?.map(FileIndex);
        let error = self.io_error()?;
        Ok(DiskError { file, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read back, and what is cut short is an error at every length.
    #[test]
    fn values_come_back() {
        let error = IoError {
            kind: IoErrorKind::TimedOut,
            code: -7,
        };
        let disk_error = DiskError {
            file: Some(FileIndex(3)),
            error,
        };
        let addr: SocketAddr = "[2001:db8::7]:6881".parse().unwrap();
        let mut pen = Pen::default();
        pen.number(u64::MAX);
        pen.maybe(None);
        pen.maybe(Some(300));
        pen.addr(addr);
        pen.reason(EndReason::Failed(error));
        pen.reason(EndReason::Tls(TlsError::Alert(40)));
        pen.disk_result(Err(disk_error));
        let read = |mut eye: Eye<'_>| -> Result<_, BadRecord> {
            let numbers = (eye.number()?, eye.maybe()?, eye.maybe()?);
            let addr = eye.addr()?;
            let reasons = [eye.reason()?, eye.reason()?];
            let rest = (addr, reasons, eye.disk_result()?);
            Ok((numbers, rest, eye.is_done()))
        };
        let numbers = (u64::MAX, None, Some(300));
        let reasons = [
            EndReason::Failed(error),
            EndReason::Tls(TlsError::Alert(40)),
        ];
        let rest = (addr, reasons, Err(disk_error));
        assert_eq!(read(Eye(&pen.0)), Ok((numbers, rest, true)));
        for len in 0..pen.0.len() {
            assert_eq!(read(Eye(&pen.0[..len])), Err(BadRecord::CutOff));
        }
        assert_eq!(Eye(&[0xff; 11]).number(), Err(BadRecord::Value));
    }
}
