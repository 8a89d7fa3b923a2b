//! Who may do what over the local API.

use std::net::IpAddr;

use serde::Deserialize;

use super::options::options;

options! {
    /// The table `api` of the file.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct ApiOptions {
        /// Whether reading needs a token, too; absent: where others than this
        /// machine can connect.
        pub read_needs_token: Option<bool> = None,
    }
}

impl ApiOptions {
    /// Whether reading needs a token, too: as it was said, or else where others
    /// than this machine can connect to an API that listens there.
    #[must_use]
    pub fn needs_token_to_read(self, listens_on: IpAddr) -> bool {
        self.read_needs_token.unwrap_or(!listens_on.is_loopback())
    }
}
