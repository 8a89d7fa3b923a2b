//! Who may do what over the local API.

use serde::Deserialize;

/// What a user may say of it, in a table `api` of the file.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ApiOptions {
    /// See [`Config::read_needs_token`](super::Config::read_needs_token).
    pub read_needs_token: Option<bool>,
}
