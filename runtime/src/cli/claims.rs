//! Files of claims: one JSON object a line, checked whole before anything is proposed.
//! Knows nothing about what the objects mean beyond the field that is their key.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

/// The claims that ship with the program: see `data/README.md`.
const BUNDLED: &[u8] = include_bytes!("../../data/claims.jsonl");
/// How many bad lines a message names.
const PROBLEMS_MAX: usize = 10;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Where it stands, from 1.
    pub(crate) line: usize,
    /// What it is stored under.
    pub(crate) key: Bytes,
    /// The line as it stands.
    pub(crate) value: Bytes,
}

/// A file that cannot be proposed. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimsError {
    #[error("{file}: cannot read: {source}")]
    Read {
        file: String,
        source: std::io::Error,
    },
    #[error("{0}: holds no claims")]
    Empty(String),
    #[error("{}{} (nothing was proposed)", .problems.join("\n"), more(*.further))]
    Lines {
        problems: Vec<String>,
        further: usize,
    },
}

fn more(further: usize) -> String {
    if further == 0 {
        String::new()
    } else {
        format!("\nand {further} more lines like these")
    }
}

/// The claims of `file`, or the bundled ones.
pub(crate) fn load(file: Option<&Path>, key_field: &str) -> Result<Vec<Claim>, ClaimsError> {
    let Some(path) = file else {
        return parse(&Bytes::from_static(BUNDLED), "bundled claims", key_field);
    };
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => parse(&bytes.into(), &name, key_field),
        Err(source) => Err(ClaimsError::Read { file: name, source }),
    }
}

/// Checks every line. Two lines with one key are refused: proposals are pipelined, so their order
/// is not defined.
fn parse(bytes: &Bytes, file: &str, key_field: &str) -> Result<Vec<Claim>, ClaimsError> {
    let mut claims = Vec::new();
    let mut lines_by_key: HashMap<Bytes, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (i, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let (line, text) = (i + 1, text.trim_ascii());
        if text.is_empty() {
            continue;
        }
        match key(text, key_field) {
            Ok(key) => {
                if let Some(first) = lines_by_key.insert(key.clone(), line) {
                    problems.push(format!(
                        "{file} line {line}: '{key_field}' is {}, as in line {first}: \
                         a key may stand in one line only",
                        String::from_utf8_lossy(&key)
                    ));
                }
                let value = bytes.slice_ref(text);
                claims.push(Claim { line, key, value });
            }
            Err(what) => problems.push(format!("{file} line {line}: {what}")),
        }
    }
    if !problems.is_empty() {
        let further = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        return Err(ClaimsError::Lines { problems, further });
    }
    if claims.is_empty() {
        return Err(ClaimsError::Empty(file.to_owned()));
    }
    Ok(claims)
}

/// The key of the object in `text`.
fn key(text: &[u8], key_field: &str) -> Result<Bytes, String> {
    let object = match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err("is JSON, but not an object".to_owned()),
        Err(error) => {
            // The parser counts lines of its own and has seen only this one: leave its count out.
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or(&what);
            return Err(format!("is not JSON: {what} in column {}", error.column()));
        }
    };
    match object.get(key_field) {
        Some(Value::String(key)) if !key.is_empty() => Ok(Bytes::from(key.clone())),
        Some(Value::Number(key)) => Ok(Bytes::from(key.to_string())),
        Some(_) => Err(format!(
            "the field '{key_field}' must be a text or a number"
        )),
        None => Err(format!(
            "has no field '{key_field}': name the field that is the key with --key-field"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Result<Vec<Claim>, ClaimsError> {
        parse(&Bytes::from_static(text.as_bytes()), "f.jsonl", "id")
    }

    #[test]
    fn the_bundled_claims_are_whole() {
        let claims = load(None, "claim_id").unwrap();
        assert_eq!(claims.len(), 1_171);
        assert_eq!(claims[0].key, "RUSTSEC-2016-0002");
        assert!(claims[0].value.ends_with(b"}"));
    }

    #[test]
    fn a_claim_is_its_line() {
        let claims = parsed("{\"id\":\"a\", \"x\":1}\r\n\n{\"id\":7}\n").unwrap();
        assert_eq!(claims.len(), 2);
        assert_eq!(claims[0].value, "{\"id\":\"a\", \"x\":1}");
        assert_eq!((claims[1].line, &claims[1].key[..]), (3, &b"7"[..]));
    }

    #[test]
    fn every_bad_line_is_named() {
        let message = parsed("{\"id\":\"a\"}\nnot json\n[1]\n{\"x\":1}\n{\"id\":null}\n")
            .unwrap_err()
            .to_string();
        assert!(message.contains("f.jsonl line 2: is not JSON"), "{message}");
        assert!(
            message.contains("f.jsonl line 3: is JSON, but not an object"),
            "{message}"
        );
        assert!(
            message.contains("f.jsonl line 4: has no field 'id'"),
            "{message}"
        );
        assert!(
            message.contains("f.jsonl line 5: the field 'id' must be"),
            "{message}"
        );
        assert!(message.contains("nothing was proposed"), "{message}");
    }

    #[test]
    fn a_key_may_stand_in_one_line_only() {
        let message = parsed("{\"id\":\"a\"}\n{\"id\":\"a\",\"x\":2}\n").unwrap_err();
        assert!(
            message
                .to_string()
                .contains("line 2: 'id' is a, as in line 1")
        );
    }

    #[test]
    fn many_bad_lines_are_counted() {
        let text = "x\n".repeat(25);
        let message = parse(&text.into_bytes().into(), "f", "id")
            .unwrap_err()
            .to_string();
        assert_eq!(message.lines().count(), PROBLEMS_MAX + 1);
        assert!(message.contains("and 15 more"), "{message}");
    }

    #[test]
    fn an_empty_file_is_refused() {
        assert!(matches!(parsed("\n \n"), Err(ClaimsError::Empty(_))));
    }
}
