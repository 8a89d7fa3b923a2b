//! Base64 with padding (RFC 4648, section 4), as all bytes come in.

use data_encoding::{BASE64, DecodeError, DecodeKind};

/// The bytes that a text stands for. Padding ends it: a library takes what several
/// texts give, one behind the other, for one, and then two texts mean the same bytes.
///
/// # Errors
/// It is not base64, or goes on behind its padding.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let padding = text.iter().position(|&sign| sign == b'=');
    match padding.filter(|at| text.len() - at > 2) {
        Some(position) => Err(DecodeError {
            position,
            kind: DecodeKind::Padding,
        }),
        None => BASE64.decode(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_ends_a_text() {
        assert_eq!(decode(b"AP8=").unwrap(), [0, 0xff]);
        assert_eq!(decode(b"AA==").unwrap(), [0]);
        assert_eq!(decode(b"").unwrap(), b"");
        for not in [
            "AP8=AP8=", "AA==AA==", "AP8", "AP8==", "A===", "====", "AB==", "AP8=\n",
        ] {
            assert!(decode(not.as_bytes()).is_err(), "{not}");
        }
    }
}
