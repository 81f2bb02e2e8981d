//! What a body says: a value in it for the output line (`--extract`), and whether it says what it should (`--json-check`).
//!
//! Bodies are foreign: JSON is walked along the pointer without a tree of it, expressions are linear in the body, and what is
//! taken out is bounded. Status and text are checked elsewhere.

mod walk;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::plan::expect::regex_problem;
use walk::find;

/// A larger value is not put into a line, in bytes.
pub const EXTRACTED_BYTES_MAX: usize = 64 * 1024;
/// A compiled expression takes at most so many bytes.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// A pointer has at most so many tokens; parsers of JSON stop at that depth.
const TOKENS_MAX: usize = 100;

/// Why a body has no answer to a question.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is no JSON; the line ends as `json`.
    #[error("the body is no JSON")]
    NotJson,
    /// The value is longer than [`EXTRACTED_BYTES_MAX`]; the line ends as `too_large`.
    #[error("what --extract found is larger than 64 KiB")]
    TooLarge,
}

/// Where a value is in a JSON document (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads `/data/0/a~1b`; the empty pointer is the whole document.
    ///
    /// # Errors
    /// What is wrong and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Ok(Self { tokens: Vec::new() })
            } else {
                Err(format!("\"{0}\" is no JSON pointer; write /{0}", text.escape_debug()))
            };
        };
        let tokens: Vec<_> = rest.split('/').map(token).collect::<Result<_, _>>()?;
        if tokens.len() > TOKENS_MAX {
            return Err(format!("the JSON pointer is deeper than {TOKENS_MAX}"));
        }
        Ok(Self { tokens })
    }
}

/// One token with `~1` and `~0` undone.
fn token(text: &str) -> Result<String, String> {
    let bad = text.match_indices('~').any(|(at, _)| !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
    if bad {
        return Err("a ~ in a JSON pointer is written ~0, and a / is ~1".to_owned());
    }
    Ok(text.replace("~1", "/").replace("~0", "~"))
}

/// What `--extract` takes out of a body.
#[derive(Clone, Debug)]
pub enum Extract {
    /// The value there, as it stands.
    Pointer(Pointer),
    /// The first match: its first group, or all of it where there is none.
    Pattern(Regex),
}

impl Extract {
    /// Reads a JSON pointer, which begins with `/`, or else a regular expression. An expression that begins with `/` is
    /// written `[/]…`.
    ///
    /// # Errors
    /// What is wrong and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty; write a JSON pointer (/data/0) or a regular expression".to_owned());
        }
        if text.starts_with('/') {
            return Pointer::parse(text).map(Self::Pointer);
        }
        let regex = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
        regex.map(Self::Pattern).map_err(|error| regex_problem(&error))
    }

    /// The value in `body`, as JSON on one line; none where there is none.
    ///
    /// # Errors
    /// [`Problem::NotJson`] for a pointer, [`Problem::TooLarge`].
    pub fn run(&self, body: &[u8]) -> Result<Option<Box<RawValue>>, Problem> {
        match self {
            Self::Pointer(pointer) => {
                let found = find(body, &pointer.tokens).map_err(|_| Problem::NotJson)?;
                found.map(|value| one_line(value.get())).transpose()
            }
            Self::Pattern(regex) => {
                let captures = regex.captures(body);
                let found = captures.and_then(|captures| captures.get(1).or_else(|| captures.get(0)));
                found.map(|found| text(found.as_bytes())).transpose()
            }
        }
    }
}

/// JSON without the space between its tokens, which may be line ends; numbers stay as they are written.
fn one_line(json: &str) -> Result<Box<RawValue>, Problem> {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        if out.len() > EXTRACTED_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
    }
    RawValue::from_string(out).map_err(|_| Problem::NotJson)
}

/// Text as a JSON string.
fn text(bytes: &[u8]) -> Result<Box<RawValue>, Problem> {
    if bytes.len() > EXTRACTED_BYTES_MAX {
        return Err(Problem::TooLarge);
    }
    serde_json::value::to_raw_value(&String::from_utf8_lossy(bytes)).map_err(|_| Problem::NotJson)
}

/// What `--json-check` asks of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonCheck {
    pointer: Pointer,
    expected: Value,
}

impl JsonCheck {
    /// Reads `/status=ok`; the value is JSON, or else a string. A `=` in the pointer's part is not possible.
    ///
    /// # Errors
    /// What is wrong and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (pointer, value) = text.split_once('=').ok_or("it has no =; write e.g. /status=ok or /items/0/id=17")?;
        let expected = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { pointer: Pointer::parse(pointer)?, expected })
    }

    /// Whether the value is there and equal; numbers are equal by their amount.
    ///
    /// # Errors
    /// [`Problem::NotJson`].
    pub fn passes(&self, body: &[u8]) -> Result<bool, Problem> {
        let found = find(body, &self.pointer.tokens).map_err(|_| Problem::NotJson)?;
        // A value nested too deeply to be read equals none that was typed.
        let value = found.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        Ok(value.is_some_and(|value| equal(&value, &self.expected)))
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| equal(x, y)))
        }
        _ => a == b,
    }
}

/// Checks what must hold for every body: what is taken out is one line of JSON within its bound, and the same value as in a
/// tree of the whole body.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_extract(bytes: &[u8]) {
    for text in ["/a", "/a/0/b", "/0", "/~0x~1", "\"a\":\\s*(\\S+)"] {
        let found = Extract::parse(text).expect("a question of ours").run(bytes);
        if let Ok(Some(value)) = &found {
            assert!(value.get().len() <= 6 * EXTRACTED_BYTES_MAX + 2 && !value.get().contains('\n'), "{value}");
            assert!(serde_json::from_str::<&RawValue>(value.get()).is_ok(), "{value}");
        }
        let tree = serde_json::from_slice::<Value>(bytes).ok();
        if let (Some(tree), true) = (tree, text.starts_with('/')) {
            let expected = tree.pointer(text).cloned();
            let read = |value: &RawValue| serde_json::from_str(value.get()).expect("it was read with the tree");
            assert_eq!(found.map(|found| found.map(|value| read(&value))), Ok(expected.clone()), "{text}");
            let check = JsonCheck { pointer: Pointer::parse(text).expect("ours"), expected: expected.clone().into() };
            assert_eq!(check.passes(bytes), Ok(expected.is_some()));
        }
    }
}

#[cfg(test)]
mod tests;
