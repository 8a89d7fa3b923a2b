//! What a JSON value must be, to be taken: one that every reader reads, and
//! reads as the same.
//!
//! Readers give up on values that are nested too deeply, on numbers that no
//! double has, and on halves of surrogate pairs, which stand for no character;
//! or they read something else. Where an object has a key twice one takes the
//! first and another the last.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Objects and arrays within each other, at most. Readers that give up do so at
/// a hundred (.NET has 64, serde_json 128) or later; what people write has ten.
pub const MAX_JSON_DEPTH: usize = 128;

/// Digits of a number that is finite whatever they are.
const FINITE_DIGITS: usize = 300;

/// Checks a text that may be JSON.
///
/// # Errors
/// It is not JSON, or not JSON that every reader reads; in words that follow on
/// "the value".
pub fn check(json: &str) -> Result<(), String> {
    // Any depth, without recursion.
    serde_json::from_str::<IgnoredAny>(json).map_err(|error| format!("is not JSON ({error})"))?;
    Walk::default().through(json)
}

/// Checks JSON that was parsed: it is gone through once, and most of it is not
/// copied.
///
/// # Errors
/// As [`check`].
pub fn check_parsed(json: &RawValue) -> Result<(), String> {
    check_token(json.get())
}

/// Checks JSON whose form is known to be right.
///
/// # Errors
/// As [`check`].
pub fn check_token(json: &str) -> Result<(), String> {
    Walk::default().through(json)
}

/// Whether the token of a number is one that a double has. Most are told by
/// their length.
#[must_use]
pub fn is_finite(token: &str) -> bool {
    let has_power = token.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    let is_plain = !has_power && token.len() <= FINITE_DIGITS;
    is_plain || token.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A way through valid JSON, from token to token.
#[derive(Default)]
struct Walk<'a> {
    /// The brackets that are open; of an object how many keys there were before.
    open: Vec<Option<usize>>,
    /// The keys of all objects that are open, the innermost last.
    keys: Vec<Cow<'a, str>>,
    awaits_key: bool,
}

impl<'a> Walk<'a> {
    fn through(mut self, json: &'a str) -> Result<(), String> {
        let bytes = json.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let mut used = 1;
            match byte {
                b'{' | b'[' => self.opens(byte == b'{')?,
                b'}' | b']' => self.closes()?,
                b',' => self.awaits_key = matches!(self.open.last(), Some(Some(_))),
                b'"' => {
                    let token = string(&json[at..]);
                    used = token.len();
                    self.string(token)?;
                }
                b'-' | b'0'..=b'9' => {
                    let token = number(&json[at..]);
                    used = token.len();
                    if !is_finite(token) {
                        let shown = shown(token);
                        return Err(format!(
                            "has the number {shown}, which is beyond any double"
                        ));
                    }
                }
                _ => {}
            }
            at += used;
        }
        Ok(())
    }

    fn opens(&mut self, is_object: bool) -> Result<(), String> {
        if self.open.len() == MAX_JSON_DEPTH {
            return Err(format!(
                "has more than {MAX_JSON_DEPTH} objects and arrays within each other"
            ));
        }
        self.awaits_key = is_object;
        self.open.push(is_object.then_some(self.keys.len()));
        Ok(())
    }

    fn closes(&mut self) -> Result<(), String> {
        self.awaits_key = false;
        let Some(Some(before)) = self.open.pop() else {
            return Ok(());
        };
        let keys = &mut self.keys[before..];
        // By order and not by hash: most objects have a few.
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            let key = serde_json::Value::from(&*twice[0]).to_string();
            return Err(format!("has the key {} twice in one object", shown(&key)));
        }
        self.keys.truncate(before);
        Ok(())
    }

    fn string(&mut self, token: &'a str) -> Result<(), String> {
        let is_key = std::mem::take(&mut self.awaits_key);
        let plain = token
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let plain = plain.unwrap_or(token);
        let is_escaped = plain.as_bytes().contains(&b'\\');
        let text = match is_escaped && (is_key || plain.contains("\\u")) {
            false => Cow::Borrowed(plain),
            true => Cow::Owned(serde_json::from_str::<String>(token).map_err(|_| {
                format!(
                    "has the text {}, in which half of a surrogate pair stands alone",
                    shown(token)
                )
            })?),
        };
        if is_key {
            self.keys.push(text);
        }
        Ok(())
    }
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

/// The token of the number with which a text begins.
fn number(text: &str) -> &str {
    let is_part = |byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let end = text.bytes().position(|byte| !is_part(byte));
    &text[..end.unwrap_or(text.len())]
}

/// What an error quotes of a token.
fn shown(token: &str) -> String {
    token.chars().take(64).collect()
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
    fn halves_of_surrogate_pairs_are_refused_wherever_they_stand() {
        for half in [
            r#""\ud800""#,
            r#""\uDFFF""#,
            r#""a\ud83d b""#,
            r#""\ud83d\n\ude00""#,
            r#""\ude00\ud83d""#,
            r#"{"a":["\ud800"]}"#,
            r#"{"\udbff":1}"#,
            r#"{"\ud800":1,"\ud801":2}"#,
        ] {
            let error = check(half).unwrap_err();
            assert!(
                error.contains("half of a surrogate pair"),
                "{half}: {error}"
            );
        }
        for whole in [
            r#""\ud83d\ude00""#,
            r#"{"\uD83D\uDE00":"\\ud800"}"#,
            r#""\u0000\ue000\ud7ff""#,
            r#"["\\\\ud800"]"#,
        ] {
            assert_eq!(check(whole), Ok(()), "{whole}");
        }
    }

    #[test]
    fn numbers_that_no_double_has_are_refused_wherever_they_stand() {
        let digits = |count| "9".repeat(count);
        for beyond in [
            "1e400",
            "-1E+309",
            "[0,2e308]",
            r#"{"a":{"b":1e999}}"#,
            &digits(310),
        ] {
            let error = check(beyond).unwrap_err();
            assert!(error.contains("beyond any double"), "{beyond}: {error}");
        }
        // What is smaller than all others is read as 0.
        for good in [
            "1.7976931348623157e308",
            "[-0,1e-400,1E2,0.5]",
            r#""1e400""#,
            r#"{"1e400":null}"#,
            &digits(300),
            &format!("0.{}", digits(5_000)),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
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

        /// What is taken is what a reader reads that builds all of it.
        #[test]
        fn what_is_taken_can_be_read(text in "[\\[\\]{}\",:a1e9\\\\ud80cf-]{0,24}", power in 0_u32..700) {
            for text in [text.clone(), format!("[\"{text}\"]"), format!("{{\"{text}\":1e{power}}}")] {
                if check(&text).is_ok() {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
                }
            }
        }
    }
}
