//! Certificates for a cluster of processes, as `chil cert` makes them, and their replacement.
//! Knows nothing about what nodes do with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::chil;

/// The client that tests are.
const CLIENT: &str = "tester";

/// A directory with an authority, certificates for nodes and for one client, and the list of the
/// authorities that all of them believe.
#[derive(Debug)]
pub struct Certs {
    dir: PathBuf,
    nodes: Vec<String>,
    /// How many authorities there were.
    authorities: usize,
}

impl Certs {
    /// Makes an authority in `dir`, and certificates for nodes of these names.
    ///
    /// # Panics
    /// If the program does not make them.
    pub fn new(dir: &Path, nodes: impl IntoIterator<Item = String>) -> Self {
        let mut certs = Self {
            dir: dir.to_owned(),
            nodes: nodes.into_iter().collect(),
            authorities: 0,
        };
        certs.next_authority();
        certs.trust(&[1]);
        certs.issue();
        certs
    }

    /// Makes another authority, which nobody believes yet. Returns its number.
    ///
    /// # Panics
    /// If the program does not make it.
    pub fn next_authority(&mut self) -> usize {
        self.authorities += 1;
        let dir = self.authority(self.authorities);
        made(&["cert", "init", "--dir", &dir]);
        self.authorities
    }

    /// From now on, these authorities are believed.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn trust(&self, authorities: &[usize]) {
        let certs = authorities.iter().map(|number| {
            let path = Path::new(&self.authority(*number)).join("ca.crt");
            fs::read_to_string(path).expect("it was made")
        });
        let partial = self.dir.join("trusted.partial");
        fs::write(&partial, certs.collect::<String>()).expect("the directory is ours");
        fs::rename(partial, self.file("trusted.crt")).expect("the directory is ours");
    }

    /// Has the newest authority issue all certificates, in place of those that there are.
    ///
    /// # Panics
    /// If the program does not issue them.
    pub fn issue(&self) {
        let from = self.authority(self.authorities);
        let to = self.file("certs");
        let how = ["--dir", &from, "--out", &to, "--replace"];
        let names = self.nodes.iter().map(String::as_str);
        let node: Vec<&str> = ["cert", "issue", "node"].into_iter().chain(names).collect();
        made(&[&node[..], &how].concat());
        let client = ["cert", "issue", "client", CLIENT, "--role", "admin"];
        made(&[&client[..], &how].concat());
    }

    /// What a node of this name is told on its command line.
    pub fn arguments(&self, node: &str) -> Vec<String> {
        let [cert, key, ca] = self.files(node);
        let flags = ["--tls-cert", "--tls-key", "--tls-ca"].map(str::to_owned);
        flags
            .into_iter()
            .zip([cert, key, ca])
            .flat_map(<[String; 2]>::from)
            .collect()
    }

    /// Certificate, key and authorities of the client.
    pub fn client(&self) -> [String; 3] {
        self.files(CLIENT)
    }

    /// Certificate, key and authorities of a node.
    pub fn node(&self, name: &str) -> [String; 3] {
        self.files(name)
    }

    fn files(&self, name: &str) -> [String; 3] {
        [
            self.file(&format!("certs/{name}.crt")),
            self.file(&format!("certs/{name}.key")),
            self.file("trusted.crt"),
        ]
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn authority(&self, number: usize) -> String {
        self.file(&format!("authority-{number}"))
    }
}

fn made(arguments: &[&str]) {
    let output = chil(arguments).output().expect("it is there");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}
