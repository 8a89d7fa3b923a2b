//! What a JSON value must be, to be taken: one that every reader reads, and
//! reads as the same.
//!
//! Readers give up on values that are nested too deeply, and where an object
//! has a key twice one takes the first and another the last.

use std::collections::HashSet;

use serde::de::IgnoredAny;

/// Objects and arrays within each other, at most. Readers that give up do so at
/// a hundred (.NET has 64, serde_json 128) or later; what people write has ten.
pub const MAX_JSON_DEPTH: usize = 128;

/// Checks a value.
///
/// # Errors
/// It is not JSON, is too deep, or has a key twice; in words that follow on
/// "the value".
pub fn check(json: &str) -> Result<(), String> {
    // Any depth, without recursion.
    serde_json::from_str::<IgnoredAny>(json).map_err(|error| format!("is not JSON ({error})"))?;
    if !json.bytes().any(|byte| matches!(byte, b'{' | b'[')) {
        return Ok(());
    }
    check_nesting(json)
}

/// Goes through valid JSON from bracket to bracket.
fn check_nesting(json: &str) -> Result<(), String> {
    // For each bracket that is open the keys so far; none in an array.
    let mut open: Vec<Option<HashSet<String>>> = Vec::new();
    let mut awaits_key = false;
    let mut rest = json;
    let is_mark = |byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',');
    while let Some(at) = rest.bytes().position(is_mark) {
        let mut used = at + 1;
        match rest.as_bytes()[at] {
            bracket @ (b'{' | b'[') => {
                if open.len() == MAX_JSON_DEPTH {
                    return Err(format!(
                        "has more than {MAX_JSON_DEPTH} objects and arrays within each other"
                    ));
                }
                awaits_key = bracket == b'{';
                open.push(awaits_key.then(HashSet::new));
            }
            b'}' | b']' => {
                open.pop();
                awaits_key = false;
            }
            b',' => awaits_key = matches!(open.last(), Some(Some(_))),
            _ => {
                let token = string(&rest[at..]);
                used = at + token.len();
                if let (true, Some(Some(keys))) = (awaits_key, open.last_mut())
                    && let Ok(key) = serde_json::from_str::<String>(token)
                    && !keys.insert(key)
                {
                    let shown: String = token.chars().take(64).collect();
                    return Err(format!("has the key {shown} twice in one object"));
                }
                awaits_key = false;
            }
        }
        rest = &rest[used..];
    }
    Ok(())
}

/// The token of the string with which a text begins.
fn string(text: &str) -> &str {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(text, |end| &text[..end + 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn json_may_be_128_deep_and_no_deeper() {
        assert_eq!(check(&nested(128)), Ok(()));
        for deep in [
            nested(129),
            nested(100_000),
            format!("{{\"a\":{}}}", nested(128)),
        ] {
            let error = check(&deep).unwrap_err();
            assert!(
                error.contains("more than 128 objects and arrays"),
                "{error}"
            );
        }
        // Brackets within texts are none.
        assert_eq!(check(&format!("[\"{}\"]", "[{".repeat(500))), Ok(()));
        assert_eq!(check(&format!("[\"\\\"{}\"]", "[{".repeat(500))), Ok(()));
        // One behind the other is not one within the other.
        assert_eq!(check(&format!("[{}]", vec!["[]"; 500].join(","))), Ok(()));
    }

    #[test]
    fn an_object_has_each_key_once() {
        for good in [
            r#"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}"#,
            r#"{"a":"a","b":"a"}"#,
            r#"["a","a"]"#,
            r#"{"a":["a","b","a"],"b":1}"#,
            "1",
            r#""{\"a\":1,\"a\":2}""#,
            "{}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":[],"a":2}}]"#,
            r#"{"a":{"x":1},"b":[1,2],"a":{}}"#,
            r#"{"":1,"":2}"#,
        ] {
            let error = check(twice).unwrap_err();
            assert!(error.contains("twice in one object"), "{twice}: {error}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for wrong in ["", "{a}", "[1", "1 2", "NaN", "'a'", "[1,]"] {
            assert!(check(wrong).unwrap_err().contains("is not JSON"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_panic(text in "[\\[\\]{}\",:a1\\\\ é]{0,40}") {
            let _ = check(&text);
        }
    }
}
