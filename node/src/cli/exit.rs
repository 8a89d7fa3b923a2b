//! The exit status: what the error means with which a command ends.

use std::error::Error;
use std::io::{self, ErrorKind};

use headwater_client::data_dir::{FileError, LockError, NoHome};
use headwater_client::invite::InviteError;
use headwater_client::keys::SecretError;
use headwater_client::{Error as ClientError, Lost};
use headwater_protocols::store::StoreError;

use super::Usage;
use super::json_error::Reported;
use crate::failure::Failure;
use crate::handle::NodeError;
use crate::store::OpenError;

/// What the help says of it.
pub(super) const HELP: &str = "Exit status: 0 done, 1 failed, 2 wrong usage or configuration (trying again does not help), 3 failed for now (trying again may help).";

/// What the error means with which a command ends: as it was marked, or else as
/// its cause tells.
pub(super) fn failure(error: &anyhow::Error) -> Failure {
    if let Some(reported) = error.downcast_ref::<Reported>() {
        return failure(reported.cause());
    }
    Failure::marked(error)
        .or_else(|| error.chain().find_map(of_cause))
        .unwrap_or(Failure::Failed)
}

/// The same error with more words behind it.
pub(super) fn with_words(error: &anyhow::Error, words: &str) -> anyhow::Error {
    failure(error).mark(anyhow::anyhow!("{error:#}; {words}"))
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<Failure> {
    if error.is::<Usage>() || error.is::<InviteError>() || error.is::<NoHome>() {
        return Some(Failure::Usage);
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return of_client(error);
    }
    if let Some(error) = error.downcast_ref::<LockError>() {
        return match error {
            LockError::Held { .. } => Some(Failure::ForNow),
            LockError::Io(error) => of_io(&error.cause),
        };
    }
    if let Some(error) = error.downcast_ref::<SecretError>() {
        return of_secret(error);
    }
    if let Some(error) = error.downcast_ref::<FileError>() {
        return of_io(&error.cause);
    }
    match error.downcast_ref() {
        // Another version is needed: this one never opens it.
        Some(OpenError::Newer { .. } | OpenError::Older { .. }) => return Some(Failure::Usage),
        Some(OpenError::Locked(_) | OpenError::Full { .. }) => return Some(Failure::ForNow),
        Some(OpenError::Damaged { .. } | OpenError::Failed { .. }) => return Some(Failure::Failed),
        None => {}
    }
    if let Some(NodeError::Stopping) = error.downcast_ref() {
        return Some(Failure::ForNow);
    }
    if let Some(StoreError::Full(_)) = error.downcast_ref() {
        return Some(Failure::ForNow);
    }
    error.downcast_ref::<io::Error>().and_then(of_io)
}

/// What it means that there is no answer, or not the one that was hoped for.
fn of_client(error: &ClientError) -> Option<Failure> {
    match error.cause() {
        // Why it broke off, the node's log says.
        ClientError::Lost(Lost::CutOff(_)) => Some(Failure::Failed),
        ClientError::Lost(_) | ClientError::NotRunning { .. } => Some(Failure::ForNow),
        ClientError::Refused(refused) => Some(of_status(refused.status())),
        ClientError::Url(_) | ClientError::NoNode { .. } | ClientError::NoHome(_) => {
            Some(Failure::Usage)
        }
        ClientError::Secret(error) => of_secret(error),
        _ => None,
    }
}

/// What an answer of the API means.
fn of_status(status: u16) -> Failure {
    match status {
        // What was asked is wrong in itself, or the token is.
        400 | 401 | 413 | 415 | 422 => Failure::Usage,
        408 | 429 | 502 | 503 | 504 | 507 => Failure::ForNow,
        _ => Failure::Failed,
    }
}

/// What it means that there is no key, or no token: what others have put in its place
/// stays there.
fn of_secret(error: &SecretError) -> Option<Failure> {
    match error {
        SecretError::Unreadable(_)
        | SecretError::DamagedKey { .. }
        | SecretError::NoKey { .. }
        | SecretError::CutToken { .. }
        | SecretError::NoToken(_)
        | SecretError::ShortToken { .. } => Some(Failure::Usage),
        SecretError::Unwritable(error) => of_io(&error.cause),
        SecretError::Exists(_) | SecretError::NotMade(_) | SecretError::NoRandomBytes(_) => None,
    }
}

/// What may be over in a while; `None` for what says nothing about that.
fn of_io(error: &io::Error) -> Option<Failure> {
    /// `EMFILE` and `ENFILE`: too many open files.
    const NO_DESCRIPTORS: [i32; 2] = [24, 23];
    let passes = match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::AddrInUse
        | ErrorKind::AddrNotAvailable
        | ErrorKind::ResourceBusy
        | ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::OutOfMemory => true,
        _ => (error.raw_os_error()).is_some_and(|code| NO_DESCRIPTORS.contains(&code)),
    };
    passes.then_some(Failure::ForNow)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use anyhow::{Context, anyhow};
    use axum::http::StatusCode;
    use headwater_client::ApiError;

    use super::*;
    use crate::failure::usage;

    #[test]
    fn the_cause_of_an_error_tells_whether_trying_again_may_help() {
        let of_status = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            let error = ClientError::from(ApiError::from_answer(status, b""));
            failure(&anyhow::Error::from(error).context("it stopped"))
        };
        assert_eq!(of_status(400), Failure::Usage);
        assert_eq!(of_status(404), Failure::Failed);
        assert_eq!(of_status(503), Failure::ForNow);
        assert_eq!(of_status(507), Failure::ForNow);

        let of_io = |kind: ErrorKind| {
            let result: Result<(), _> = Err(io::Error::from(kind));
            failure(&result.context("cannot write").unwrap_err())
        };
        assert_eq!(of_io(ErrorKind::StorageFull), Failure::ForNow);
        assert_eq!(of_io(ErrorKind::NotFound), Failure::Failed);
        assert_eq!(
            failure(&io::Error::from_raw_os_error(24).into()),
            Failure::ForNow
        );

        assert_eq!(failure(&Usage::error("x")), Failure::Usage);
        assert_eq!(failure(&anyhow!("x")), Failure::Failed);
        // What was said where it happened counts more than the cause.
        let marked = usage(io::Error::from(ErrorKind::StorageFull).into());
        assert_eq!(failure(&marked), Failure::Usage);
    }

    #[test]
    fn a_folder_that_cannot_be_opened_tells_whether_it_ever_can() {
        let (dir, why) = (PathBuf::from("x"), String::new());
        let of = |error: OpenError| failure(&anyhow::Error::new(error).context("cannot start"));
        assert_eq!(of(OpenError::Locked(dir.clone())), Failure::ForNow);
        let full = OpenError::Full {
            dir: dir.clone(),
            why: why.clone(),
        };
        assert_eq!(of(full), Failure::ForNow);
        let damaged = OpenError::Damaged {
            dir: dir.clone(),
            why,
        };
        assert_eq!(of(damaged), Failure::Failed);
        let (found, known) = (1, 2);
        let older = OpenError::Older {
            dir: dir.clone(),
            found,
            known,
        };
        assert_eq!(of(older), Failure::Usage);
        assert_eq!(of(OpenError::Newer { dir, found, known }), Failure::Usage);
    }

    #[test]
    fn more_words_do_not_change_what_an_error_means() {
        let error = with_words(&usage(anyhow!("a").context("b")), "c");
        assert_eq!(error.to_string(), "b: a; c");
        assert_eq!(failure(&error), Failure::Usage);
    }
}
