//! What rustls complains of, in the words of the engine.

use ripcurrent_proto::api::TlsError;
use rustls::{CertificateError, Error};

/// What an error means to whoever wanted to speak to this server.
pub(super) fn meaning(error: &Error) -> TlsError {
    match error {
        Error::InvalidCertificate(reason) => of_certificate(reason),
        Error::NoCertificatesPresented => TlsError::BadCertificate,
        Error::AlertReceived(alert) => TlsError::Alert(u8::from(*alert)),
        Error::PeerIncompatible(_) => TlsError::NothingInCommon,
        Error::InvalidMessage(_) => TlsError::NotTls,
        _ => TlsError::Violation,
    }
}

fn of_certificate(reason: &CertificateError) -> TlsError {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsError::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsError::WrongName
        }
        // Somebody else may call himself like an authority.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsError::UnknownIssuer,
        _ => TlsError::BadCertificate,
    }
}
