//! Media types in the form of docs/formats.md, a little narrower than that of RFC
//! 9110: `text/csv`, `text/plain; charset=utf-8`.

/// Whether a text is one. It may stand in a header of HTTP as it is.
pub(super) fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = match text.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end_matches([' ', '\t']), Some(parameters)),
        None => (text, None),
    };
    let is_essence = essence
        .split_once('/')
        .is_some_and(|(main, sub)| is_token(main) && is_token(sub));
    is_essence && parameters.is_none_or(are_parameters)
}

/// Whether a text is `name=value`s with `;` between them.
fn are_parameters(mut text: &str) -> bool {
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let Some((name, rest)) = text.split_once('=') else {
            return false;
        };
        let Some(rest) = behind_value(rest).filter(|_| is_token(name)) else {
            return false;
        };
        let rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(next) => text = next,
            None => return rest.is_empty(),
        }
    }
}

/// What stands behind the value that a text begins with.
fn behind_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        return is_token(&text[..end]).then(|| &text[end..]);
    };
    let mut bytes = quoted.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(&quoted[place + 1..]),
            b'\\' => _ = bytes.next().filter(|&(_, byte)| is_visible(byte))?,
            _ if is_visible(byte) => {}
            _ => return None,
        }
    }
    None
}

fn is_visible(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn is_token(text: &str) -> bool {
    let is_in_tokens =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_in_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_two_parts_and_may_have_parameters() {
        for good in [
            "text/csv",
            "application/vnd.apache.parquet",
            "image/svg+xml",
            "text/plain; charset=utf-8",
            "text/plain;charset=utf-8 ; x=y",
            r#"multipart/mixed; boundary="a; \"b\" c""#,
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "text",
            "/csv",
            "text/",
            "text/csv/x",
            "text /csv",
            "text/csv;",
            "text/csv; charset",
            "text/csv; charset=",
            "text/csv; =x",
            "text/csv; a=b c",
            "text/csv; a=\"b",
            "text/csv\r\nx: y",
            "text/csv; a=\"b\r\n\"",
            "text/csv; a=\"\\",
            "téxt/csv",
            " text/csv",
            "text/csv ",
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
