//! What a node said, or that it was lost, as the cause of a command that failed.

use headwater_client::{Absence, ApiError, Client, Error, Patience, Search};

/// What the client says of it, if it comes from there.
pub(super) fn by_client(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// What the node refused with, if it did.
pub(super) fn refused(error: &anyhow::Error) -> Option<&ApiError> {
    by_client(error)?.refused()
}

/// Whether the node refused with this HTTP status.
pub(super) fn is_status(error: &anyhow::Error, status: u16) -> bool {
    refused(error).is_some_and(|refused| refused.status() == status)
}

/// As [`Error::is_lost`].
pub(super) fn is_lost(error: &anyhow::Error) -> bool {
    by_client(error).is_some_and(Error::is_lost)
}

/// As [`Error::is_gone`].
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    by_client(error).is_some_and(Error::is_gone)
}

/// As [`Error::is_backwards`].
pub(super) fn is_backwards(error: &anyhow::Error) -> bool {
    by_client(error).is_some_and(Error::is_backwards)
}

/// As [`Patience::wait`], with all that was said of the failure.
///
/// # Errors
/// The node stays away for too long; the error is the one that was given.
pub(super) async fn wait(
    patience: &Patience<'_>,
    client: &Client,
    absence: &mut Absence,
    error: anyhow::Error,
) -> anyhow::Result<()> {
    let why = format!("{error:#}");
    match patience.look_for(client, absence, &why).await {
        Search::Found => Ok(()),
        Search::InVain => Err(error.context("the node stays away")),
        Search::Hopeless => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use axum::http::StatusCode;
    use headwater_client::Lost;

    use super::*;

    #[test]
    fn what_a_node_said_is_found_below_what_was_said_later() {
        let answer = |status| Error::from(ApiError::from_answer(status, b"{}"));
        let later = |error: Error| anyhow::Error::from(error).context("publishing");
        assert!(is_lost(&later(Lost::CutOff("x".to_owned()).into())));
        assert!(is_lost(&later(answer(StatusCode::SERVICE_UNAVAILABLE))));
        assert!(!is_lost(&later(answer(StatusCode::CONFLICT))));
        assert!(is_status(&later(answer(StatusCode::CONFLICT)), 409));
        assert!(is_gone(&later(answer(StatusCode::GONE))));
        assert!(!is_lost(&anyhow!("the disk is full")));
    }
}
