//! What the Kubernetes API writes, as answers: pages of a list, lines of a stream, refusals.
//! Knows nothing about connections, nor what follows from an answer.

use chil_core::Span;
use serde::Deserialize;

use super::slice::RawSlice;
use super::watch::Answer;

/// Longest line of a stream: one event with one slice, which holds at most a hundred pods or so.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Deserialize)]
struct RawList {
    #[serde(default)]
    metadata: RawListMeta,
    #[serde(default)]
    items: Option<Vec<RawSlice>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    more: String,
}

#[derive(Debug, Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    object: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
struct RawStatus {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<RawDetails>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDetails {
    retry_after_seconds: Option<u64>,
}

/// A page of the list.
pub(super) fn page(body: &[u8], port_name: Option<&str>) -> Answer {
    let list: RawList = match serde_json::from_slice(body) {
        Ok(list) => list,
        Err(error) => return Answer::Broken(format!("its list cannot be read: {error}")),
    };
    let items = list.items.unwrap_or_default().into_iter();
    Answer::Page {
        slices: items.map(|raw| raw.read(port_name)).collect(),
        version: list.metadata.resource_version,
        more: Some(list.metadata.more).filter(|more| !more.is_empty()),
    }
}

/// A line of the stream.
pub(super) fn event(line: &[u8], port_name: Option<&str>) -> Answer {
    let read = || -> Result<Answer, serde_json::Error> {
        let RawEvent { kind, object } = serde_json::from_slice(line)?;
        if kind == "ERROR" {
            let status: RawStatus = serde_json::from_value(object)?;
            return Ok(status.refused(500, None));
        }
        let slice: RawSlice = serde_json::from_value(object)?;
        Ok(match kind.as_str() {
            "ADDED" | "MODIFIED" => Answer::Changed(slice.read(port_name)),
            "DELETED" => Answer::Deleted(slice.read(port_name)),
            "BOOKMARK" => Answer::Bookmark(slice.version().to_owned()),
            _ => Answer::Broken(format!("it sends events of the kind {kind:?}")),
        })
    };
    read().unwrap_or_else(|error| Answer::Broken(format!("its event cannot be read: {error}")))
}

/// An answer with another status than 200.
pub(super) fn refusal(status: u16, retry_after: Option<Span>, body: &[u8]) -> Answer {
    let said: RawStatus = serde_json::from_slice(body).unwrap_or_default();
    RawStatus {
        code: status,
        ..said
    }
    .refused(status, retry_after)
}

impl RawStatus {
    fn refused(self, otherwise: u16, retry_after: Option<Span>) -> Answer {
        let seconds = self.details.and_then(|details| details.retry_after_seconds);
        Answer::Refused {
            status: if self.code == 0 { otherwise } else { self.code },
            retry_after: retry_after.or_else(|| seconds.map(seconds_span)),
            text: self.message.chars().take(500).collect(),
        }
    }
}

/// So many seconds, at most an hour of them.
pub(super) fn seconds_span(seconds: u64) -> Span {
    Span::from_millis(seconds.min(3_600) * 1_000)
}

/// Makes lines of what arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that `piece` completes; `None` if one is too long to be one.
    pub(super) fn push(&mut self, piece: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut complete = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + part.len() > LINE_BYTES_MAX {
                return None;
            }
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                complete.push(std::mem::take(&mut self.begun));
            }
        }
        complete.retain(|line| !line.trim_ascii().is_empty());
        Some(complete)
    }

    /// Whether a line has begun that is not complete.
    pub(super) const fn is_cut(&self) -> bool {
        !self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(answer: &Answer) -> String {
        format!("{answer:?}")
    }

    #[test]
    fn a_page_says_where_the_list_goes_on() {
        let body = br#"{"kind":"EndpointSliceList","metadata":{"resourceVersion":"12",
            "continue":"abc","remainingItemCount":3},"items":[{"metadata":{"name":"a"}}]}"#;
        let Answer::Page {
            slices,
            version,
            more,
        } = page(body, None)
        else {
            panic!("no page");
        };
        assert_eq!((slices.len(), version.as_str()), (1, "12"));
        assert_eq!(more.as_deref(), Some("abc"));
        for last in [
            r#"{"metadata":{"resourceVersion":"1","continue":""},"items":null}"#,
            r#"{"metadata":{"resourceVersion":"1"}}"#,
        ] {
            let answer = page(last.as_bytes(), None);
            assert!(matches!(answer, Answer::Page { more: None, .. }), "{last}");
        }
        assert!(matches!(page(b"<html>", None), Answer::Broken(_)));
    }

    #[test]
    fn events_are_what_their_type_says() {
        let slice = r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#;
        let line = |kind: &str| format!(r#"{{"type":"{kind}","object":{slice}}}"#);
        let read = |kind: &str| event(line(kind).as_bytes(), None);
        assert!(matches!(read("ADDED"), Answer::Changed(slice) if slice.name == "a"));
        assert!(matches!(read("MODIFIED"), Answer::Changed(_)));
        assert!(matches!(read("DELETED"), Answer::Deleted(_)));
        assert_eq!(read("BOOKMARK"), Answer::Bookmark("7".to_owned()));
        assert!(text(&read("NEWS")).contains("NEWS"));
        assert!(text(&event(br#"{"type":"ADDED","obj"#, None)).contains("cannot be read"));
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
        let Answer::Refused { status, text, .. } = event(gone, None) else {
            panic!("no refusal");
        };
        assert_eq!((status, text.as_str()), (410, "too old"));
    }

    #[test]
    fn a_refusal_has_the_status_of_the_answer_and_the_words_of_its_body() {
        let body =
            br#"{"kind":"Status","code":429,"message":"busy","details":{"retryAfterSeconds":4}}"#;
        let refused = |retry_after| refusal(429, retry_after, body);
        let seconds = |seconds: u64| Some(Span::from_millis(seconds * 1_000));
        let expected = |retry_after| Answer::Refused {
            status: 429,
            retry_after,
            text: "busy".to_owned(),
        };
        assert_eq!(refused(None), expected(seconds(4)));
        assert_eq!(refused(seconds(9)), expected(seconds(9)), "the header wins");
        let Answer::Refused { status, text, .. } = refusal(502, None, b"Bad Gateway") else {
            panic!("no refusal");
        };
        assert_eq!((status, text.as_str()), (502, ""));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 64 << 10];
        let pieces = (0..100).take_while(|_| lines.push(&piece).is_some());
        assert_eq!(pieces.count(), LINE_BYTES_MAX / piece.len());
        assert!(lines.is_cut());
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            lines in prop::collection::vec("[a-z]{1,20}", 0..10),
            cuts in prop::collection::vec(0..200usize, 0..10),
        ) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut found, mut from, mut splitter) = (Vec::new(), 0, Lines::default());
            for cut in cuts {
                found.extend(splitter.push(&text.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            let found: Vec<String> = found
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap().trim_end().to_owned())
                .collect();
            prop_assert_eq!(found, lines);
            prop_assert!(!splitter.is_cut());
        }
    }
}
