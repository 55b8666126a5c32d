//! A Kubernetes API for tests, over real HTTP: the EndpointSlices of one service, as lists with
//! pages and as streams of what changes; told to, it misbehaves.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Serves until the test's process ends.
#[derive(Clone)]
pub(crate) struct ApiServer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    slices: BTreeMap<String, String>,
    version: u64,
    happened: Vec<(u64, &'static str, String)>,
    /// What happened up to here is forgotten.
    forgotten: u64,
    /// Which token is good; none: every one.
    pub(crate) token: Option<String>,
    /// How many slices a page of a list has.
    pub(crate) page: usize,
    /// What the next requests get instead of an answer.
    pub(crate) faults: VecDeque<Fault>,
    /// What was asked, without the path that is always the same.
    pub(crate) asked: Vec<String>,
    /// Streams that were opened before are ended, in good order or not.
    ends: u64,
    cuts: u64,
    bookmarks: u64,
}

/// What goes wrong.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This status, these headers, this message.
    Status(u16, &'static str, &'static str),
    /// A stream whose first event is this line.
    Says(&'static str),
    /// Of a stream: half a line, then nothing more.
    HalfALine,
    /// Takes the request, and is silent for so long.
    Silence(Duration),
}

const PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                    ?labelSelector=kubernetes.io%2Fservice-name%3Dchil&";

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        server.state().page = 500;
        let accepting = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = accepting.clone();
                // Whoever asked may be gone: that is no fault of the server.
                thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes a slice with these pods: their names and addresses.
    pub(crate) fn put(&self, slice: &str, port: u16, pods: &[(&str, &str)]) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let pods: Vec<String> = pods.iter().map(|(name, ip)| format!(
            r#"{{"addresses":["{ip}"],"conditions":{{"ready":false}},"hostname":"{name}","targetRef":{{"kind":"Pod","name":"{name}"}}}}"#
        )).collect();
        let json = format!(
            r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"{slice}","resourceVersion":"{version}"}},"addressType":"IPv4","endpoints":[{}],"ports":[{{"name":"peers","port":{port}}}]}}"#,
            pods.join(",")
        );
        let known = state.slices.insert(slice.to_owned(), json.clone());
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        state.happened.push((version, kind, json));
    }

    pub(crate) fn delete(&self, slice: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        state.slices.remove(slice).expect("it is there");
        let json = format!(
            r#"{{"metadata":{{"name":"{slice}","resourceVersion":"{version}"}},"endpoints":null}}"#
        );
        state.happened.push((version, "DELETED", json));
    }

    /// Forgets what happened: to watch from any version before is refused with 410.
    pub(crate) fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.forgotten = state.version;
        state.happened.clear();
    }

    /// Says in all streams that nothing else has happened.
    pub(crate) fn bookmark(&self) {
        let mut state = self.state();
        state.version += 1;
        state.bookmarks += 1;
    }

    /// Ends all streams in good order.
    pub(crate) fn end_streams(&self) {
        self.state().ends += 1;
    }

    /// Cuts all connections of streams.
    pub(crate) fn cut_streams(&self) {
        self.state().cuts += 1;
    }

    /// How many requests asked for this.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let state = self.state();
        state
            .asked
            .iter()
            .filter(|asked| asked.contains(what))
            .count()
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut token = String::new();
        for line in lines {
            let line = line?;
            if let Some(value) = line.strip_prefix("authorization: Bearer ") {
                value.clone_into(&mut token);
            }
            if line.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let Some(query) = path.strip_prefix(PATH) else {
            return refuse(&mut stream, 404, "", &format!("no {path} here"));
        };
        let fault = {
            let mut state = self.state();
            state.asked.push(query.to_owned());
            if state.token.as_ref().is_some_and(|good| *good != token) {
                drop(state);
                return refuse(&mut stream, 401, "", "Unauthorized");
            }
            state.faults.pop_front()
        };
        match &fault {
            Some(Fault::Status(status, headers, message)) => {
                return refuse(&mut stream, *status, headers, message);
            }
            Some(Fault::Silence(span)) => {
                thread::sleep(*span);
                return Ok(());
            }
            Some(Fault::Says(_) | Fault::HalfALine) | None => {}
        }
        let value = |key: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut found = pairs.filter(|(name, _)| *name == key);
            found.next().map(|(_, value)| value.to_owned())
        };
        if value("watch").is_some() {
            let from = value("resourceVersion").expect("a watch has one");
            self.watch(&mut stream, from.parse().unwrap(), fault)
        } else {
            self.list(&mut stream, value("continue"))
        }
    }

    fn list(&self, stream: &mut TcpStream, from: Option<String>) -> Result<()> {
        let body = {
            let state = self.state();
            // The state and the place, as the real one keeps them in there.
            let from = from.map(|from| from.replace("%2F", "/"));
            let (version, skip) = match from.as_deref().and_then(|from| from.split_once('/')) {
                Some((version, skip)) => (version.parse().unwrap(), skip.parse().unwrap()),
                None => (state.version, 0),
            };
            if version < state.forgotten {
                drop(state);
                return refuse(
                    stream,
                    410,
                    "",
                    "The provided continue parameter is too old",
                );
            }
            let items: Vec<&String> = state.slices.values().skip(skip).take(state.page).collect();
            let end = skip + items.len();
            let more = if end < state.slices.len() {
                format!("{version}/{end}")
            } else {
                String::new()
            };
            let items = items
                .iter()
                .map(|item| item.as_str())
                .collect::<Vec<_>>()
                .join(",");
            format!(
                r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"{version}","continue":"{more}"}},"items":[{items}]}}"#
            )
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn watch(&self, stream: &mut TcpStream, mut from: u64, fault: Option<Fault>) -> Result<()> {
        let (ends, cuts, mut bookmarks) = {
            let state = self.state();
            (state.ends, state.cuts, state.bookmarks)
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        match fault {
            Some(Fault::Says(line)) => chunk(stream, line)?,
            Some(Fault::HalfALine) => return write!(stream, "5\r\n{{\"typ\r\n0\r\n\r\n"),
            _ => {}
        }
        loop {
            let mut said = Vec::new();
            {
                let state = self.state();
                if state.cuts > cuts {
                    // Without the last chunk.
                    return Ok(());
                }
                if state.ends > ends {
                    return write!(stream, "0\r\n\r\n");
                }
                if from < state.forgotten {
                    said.push(r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}"#.to_owned());
                }
                for (version, kind, json) in &state.happened {
                    if *version > from {
                        said.push(format!(r#"{{"type":"{kind}","object":{json}}}"#));
                    }
                }
                if state.bookmarks > bookmarks {
                    bookmarks = state.bookmarks;
                    said.push(format!(
                        r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"{}"}}}}}}"#,
                        state.version
                    ));
                }
                from = state.version;
            }
            for line in said {
                chunk(stream, &format!("{line}\n"))?;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// In two chunks, so that no reader gets away with taking one for a line.
fn chunk(stream: &mut TcpStream, text: &str) -> Result<()> {
    let (one, two) = text.split_at(text.len() / 2);
    for part in [one, two] {
        write!(stream, "{:x}\r\n{part}\r\n", part.len())?;
        stream.flush()?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: u16, headers: &str, message: &str) -> Result<()> {
    let body = format!(r#"{{"kind":"Status","code":{status},"message":"{message}"}}"#);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} No\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}
