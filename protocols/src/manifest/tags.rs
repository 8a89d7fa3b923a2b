//! Tags: words, or `key=value`, by which streams are found.

use crate::limits::{MAX_TAG_BYTES, MAX_TAGS};

use super::is_invisible;

/// What every reader of tags must be able to rely on.
pub(super) fn check(tags: &[String]) -> Result<(), String> {
    if tags.len() > MAX_TAGS {
        let count = tags.len();
        return Err(format!("{count} are more than the {MAX_TAGS} allowed"));
    }
    for tag in tags {
        if tag.is_empty() || tag.len() > MAX_TAG_BYTES {
            let bytes = tag.len();
            return Err(format!(
                "one has {bytes} bytes, and 1 to {MAX_TAG_BYTES} are allowed"
            ));
        }
        if tag.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            let shown = tag.escape_debug();
            return Err(format!("`{shown}` has a blank or a control character"));
        }
        if tag.starts_with('=') {
            return Err(format!("`{tag}` has no key in front of its `=`"));
        }
    }
    match tags.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) if pair[0] == pair[1] => Err(format!("`{}` is said twice", pair[0])),
        Some(pair) => Err(format!("`{}` stands in front of `{}`", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// What is asked of new ones beside that.
pub(super) fn check_new(tags: &[String]) -> Result<(), String> {
    for tag in tags {
        let (key, value) = tag.split_once('=').unwrap_or((tag, "="));
        if tag.chars().any(|c| is_invisible(c) || c.is_whitespace()) {
            let shown = tag.escape_unicode();
            return Err(format!(
                "`{shown}` has a blank, or a character that cannot be seen"
            ));
        }
        if value.is_empty() {
            return Err(format!("`{tag}` has no value behind its `=`"));
        }
        let is_plain = |c: char| c.is_alphanumeric() || "-_.:/+".contains(c);
        if let Some(c) = key.chars().find(|&c| !is_plain(c)) {
            return Err(format!(
                "`{tag}` has a `{c}`: a tag is a word of letters, digits and - _ . : / +, or such a word \
                 and a value, as in geo=52.1,4.3"
            ));
        }
    }
    Ok(())
}

/// Whether a word of a search, in small letters, is one of the tags, or the key
/// or the value of one.
#[must_use]
pub fn is_tagged(tags: &[String], word: &str) -> bool {
    tags.iter().any(|tag| {
        let tag = tag.to_lowercase();
        let parts = tag.split_once('=');
        tag == word || parts.is_some_and(|(key, value)| key == word || value == word)
    })
}
