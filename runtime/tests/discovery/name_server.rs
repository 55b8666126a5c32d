//! A name server for tests: answers A, AAAA and SRV over UDP with what it is told, or not at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// Runs until it is dropped.
pub(crate) struct NameServer {
    pub(crate) at: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Zone {
    hosts: BTreeMap<String, Vec<IpAddr>>,
    services: BTreeMap<String, Vec<(u16, u16, String)>>,
    mood: Mood,
    asked: u64,
}

/// How it answers.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Well,
    /// With SERVFAIL.
    Fails,
    /// Not at all.
    Silent,
}

impl NameServer {
    pub(crate) fn start(at: &str) -> Self {
        let socket = UdpSocket::bind(at).unwrap();
        let patience = Some(Duration::from_millis(20));
        socket.set_read_timeout(patience).unwrap();
        let mut server = Self {
            at: socket.local_addr().unwrap(),
            zone: Arc::default(),
            ends: Arc::default(),
            thread: None,
        };
        let (zone, ends) = (Arc::clone(&server.zone), Arc::clone(&server.ends));
        let thread = std::thread::spawn(move || {
            let mut query = [0; 1_500];
            while !ends.load(Ordering::Relaxed) {
                let Ok((bytes, from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                if let Some(answer) = zone.lock().unwrap().answer(&query[..bytes]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        server.thread = Some(thread);
        server
    }

    pub(crate) fn host(&self, name: &str, ips: &[&str]) {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let mut zone = self.zone.lock().unwrap();
        zone.hosts.insert(name.to_owned(), ips);
    }

    /// Targets with priority and port.
    #[cfg_attr(
        not(feature = "dns-srv"),
        expect(dead_code, reason = "only SRV asks for it")
    )]
    pub(crate) fn service(&self, name: &str, targets: &[(u16, u16, &str)]) {
        let owned =
            |(priority, port, host): &(u16, u16, &str)| (*priority, *port, (*host).to_owned());
        let targets = targets.iter().map(owned).collect();
        let mut zone = self.zone.lock().unwrap();
        zone.services.insert(name.to_owned(), targets);
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.zone.lock().unwrap().mood = mood;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.zone.lock().unwrap().asked
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("it was started").join();
    }
}

impl Zone {
    /// RFC 1035: a header of 12 bytes, the question again, then the records.
    fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let question = query.get(12..end + 4)?;
        self.asked += 1;
        let records: Vec<(u16, Vec<u8>)> = match kind {
            A | AAAA => {
                let ips = self.hosts.get(&name).map_or(&[][..], Vec::as_slice);
                let records = ips.iter().map(|ip| match ip {
                    IpAddr::V4(ip) => (A, ip.octets().to_vec()),
                    IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
                });
                records.filter(|(of, _)| *of == kind).collect()
            }
            SRV => {
                let targets = self.services.get(&name).map_or(&[][..], Vec::as_slice);
                let records = targets.iter().map(|(priority, port, host)| {
                    let mut data = [priority.to_be_bytes(), [0, 0], port.to_be_bytes()].concat();
                    data.extend(labels(host));
                    (SRV, data)
                });
                records.collect()
            }
            _ => Vec::new(),
        };
        let exists = self.hosts.contains_key(&name) || self.services.contains_key(&name);
        let code: u8 = match (self.mood, exists) {
            (Mood::Silent, _) => return None,
            (Mood::Fails, _) => 2,
            (Mood::Well, false) => 3,
            (Mood::Well, true) => 0,
        };
        let count = if code == 0 { records.len() as u8 } else { 0 };
        let mut answer = query[..2].to_vec();
        // An authoritative answer of a recursive server: one question, so many records.
        answer.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(question);
        for (kind, data) in records.iter().take(count.into()) {
            // The question's name, class IN, a TTL of zero.
            answer.extend([0xC0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

/// A name of labels with their lengths, and where it ends.
fn name(query: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
