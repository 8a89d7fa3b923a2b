//! What a new stream says for good, beside what its values are.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use data_encoding::HEXLOWER;
use headwater_client::types::NewStream;

use crate::keys::recovery::hash_named;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TermsArgs {
    /// A word, or KEY=VALUE, by which others find it; give it again for more
    #[arg(long = "tag", value_name = "T")]
    tags: Vec<String>,
    /// The terms of use, as an SPDX expression, such as CC-BY-4.0
    // A variable of a script that is empty must not leave it out for good.
    #[arg(long, value_name = "SPDX", value_parser = NonEmptyStringValueParser::new())]
    licence: Option<String>,
    /// The media type of a value, such as image/png
    #[arg(long, value_name = "M", value_parser = NonEmptyStringValueParser::new())]
    content_type: Option<String>,
    /// Refuse observations of a time that is before the last one
    #[arg(long)]
    ordered: bool,
    /// The key, kept offline, that is to have the last word on the stream: the
    /// file of its public half, or its hash
    #[arg(long, value_name = "FILE.pub|HASH")]
    recovery: Option<String>,
    /// The key of a witness (name+id+base64) that is to cosign, which this version
    /// only notes; give it again for more
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<String>,
    /// How many of them are enough [default: so many that fewer than a third may
    /// be bad: 1 of 1, 2 of 2 or 3, 3 of 4, 5 of 7]
    #[arg(long, value_name = "N", requires = "witnesses")]
    witnesses_needed: Option<u32>,
    /// A page of yours that says what may change, which this version only notes
    #[arg(long, value_name = "ID")]
    about: Option<String>,
}

impl TermsArgs {
    /// Whether anything is said.
    pub(super) fn are_given(&self) -> bool {
        *self != Self::default()
    }

    /// Whether its times never go back.
    pub(super) fn are_ordered(&self) -> bool {
        self.ordered
    }

    /// A new stream of which only this is said.
    pub(super) fn into_new(self) -> anyhow::Result<NewStream> {
        Ok(NewStream {
            tags: self.tags,
            licence: self.licence.unwrap_or_default(),
            content_type: self.content_type.unwrap_or_default(),
            ordered: self.ordered,
            recovery: self.recovery.as_deref().map(recovery_hash).transpose()?,
            witnesses: self.witnesses,
            witnesses_needed: self.witnesses_needed,
            about: self.about,
            ..NewStream::default()
        })
    }
}

/// The hash of a recovery key, from the file of its public half or as it is.
fn recovery_hash(text: &str) -> anyhow::Result<String> {
    Ok(HEXLOWER.encode(&hash_named(text)?))
}
