//! The `Admin` service: the node's state for operators. Knows nothing about how it is gathered.

use std::time::UNIX_EPOCH;

use chil_core::{Ballot, NodeId, Role};
use chil_proto::v1;
use tonic::{Request, Response, Status};

use super::guard::enter;
use super::outcome::{self, big_endian, millis, moved};
use super::save::{Parts, Saver, snapshot};
use crate::admit::{Admit, Purpose};
use crate::explain::{Finding, Topic};
use crate::request::Requests;
use crate::status::{MemberInfo, NodeStatus, Phase};

/// The service of one node.
#[derive(Clone, Debug)]
pub(crate) struct AdminService {
    pub(crate) requests: Requests,
    pub(crate) admit: Admit,
    pub(crate) saver: Saver,
}

#[tonic::async_trait]
impl v1::admin_server::Admin for AdminService {
    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let _inside = enter(&self.admit, request, Purpose::Operate, 0).await?;
        match self.requests.status().await {
            Some(status) => Ok(Response::new(response(&status))),
            None => Err(Status::unavailable("the node has stopped")),
        }
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let _inside = enter(&self.admit, request, Purpose::Operate, 0).await?;
        match self.requests.explain().await {
            Some(findings) => {
                let findings = findings.into_iter().map(finding).collect();
                Ok(Response::new(v1::ExplainResponse { findings }))
            }
            None => Err(Status::unavailable("the node has stopped")),
        }
    }

    async fn move_leader(
        &self,
        request: Request<v1::MoveLeaderRequest>,
    ) -> Result<Response<v1::MoveLeaderResponse>, Status> {
        let (_inside, request) = enter(&self.admit, request, Purpose::Operate, 0).await?;
        let to = Some(request.into_inner().to).filter(|to| !to.is_empty());
        let outcome = Some(moved(self.requests.transfer(to).await));
        Ok(Response::new(v1::MoveLeaderResponse { outcome }))
    }

    type SaveSnapshotStream = Parts;

    async fn save_snapshot(
        &self,
        request: Request<v1::SaveSnapshotRequest>,
    ) -> Result<Response<Parts>, Status> {
        // Counts while it begins: how many are under way is bounded elsewhere.
        let (_inside, request) = enter(&self.admit, request, Purpose::Operate, 0).await?;
        let stored = request.into_inner().stored;
        Ok(Response::new(self.saver.save(stored)))
    }
}

fn response(status: &NodeStatus) -> v1::StatusResponse {
    let started = status
        .started
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut response = v1::StatusResponse {
        node: status.node.get(),
        name: status.name.clone(),
        address: status.address.clone(),
        disk: big_endian(status.disk.get()),
        applied: status.applied.get(),
        priority: status.priority,
        digest: status.digest.map(big_endian).unwrap_or_default(),
        sessions: status.sessions.unwrap_or_default(),
        age_ms: status.age.map(millis),
        lease: status.lease.map(|lease| v1::LeaseStatus {
            duration_us: lease.duration_us,
            drift_ppm: lease.drift_ppm,
        }),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        version: status.version.to_owned(),
        leader: status.leader().map(outcome::member),
        problems: problems(status),
        ..v1::StatusResponse::default()
    };
    response.set_role(v1::Role::Forming);
    let Some(replica) = &status.replica else {
        return response;
    };
    response.set_role(match replica.role {
        Role::Follower => v1::Role::Follower,
        Role::Preparing => v1::Role::Preparing,
        Role::Leading => v1::Role::Leading,
    });
    let ballot = |ballot: Ballot| {
        Some(v1::BallotStatus {
            epoch: ballot.epoch.get(),
            n: ballot.n,
            node: ballot.node.get(),
            name: member(status, ballot.node).map_or_else(String::new, |m| m.name.clone()),
        })
    };
    response.cluster = big_endian(replica.cluster.get());
    response.epoch = replica.epoch.get();
    response.boot = replica.boot;
    response.ballot = ballot(replica.ballot);
    response.promised = ballot(replica.promised);
    response.acc = ballot(replica.acc);
    response.happy = replica.happy;
    response.damaged = replica.damaged;
    response.commit = replica.commit.get();
    response.last = replica.last.get();
    response.durable = replica.durable.get();
    response.snapshot = replica.snapshot.as_ref().map(snapshot);
    response.log_base = replica.base.get();
    response.log_bytes = replica.log_bytes;
    response.weight = member(status, replica.node).map_or(0, |m| m.weight);
    response.peers = replica
        .peers
        .iter()
        .map(|peer| peer_status(status, peer))
        .collect();
    response.peers.sort_by(|a, b| a.name.cmp(&b.name));
    response
}

fn peer_status(status: &NodeStatus, peer: &chil_core::PeerStatus) -> v1::PeerStatus {
    let member = member(status, peer.node);
    v1::PeerStatus {
        node: peer.node.get(),
        name: member.map_or_else(|| peer.node.to_string(), |m| m.name.clone()),
        address: member.map_or_else(String::new, |m| m.address.clone()),
        weight: peer.weight,
        up: peer.up,
        commit: peer.commit.get(),
        matched: peer.matched.map(chil_core::Slot::get),
        priority: peer.priority,
    }
}

fn member(status: &NodeStatus, node: NodeId) -> Option<&MemberInfo> {
    status.members.iter().find(|member| member.node == node)
}

fn problems(status: &NodeStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if let Phase::Forming { waiting } = &status.phase {
        problems.extend(
            waiting
                .iter()
                .map(|obstacle| format!("forming waits: {obstacle}")),
        );
    }
    if let Some(replica) = &status.replica {
        if replica.leader.is_none() {
            problems.push("nobody is known to lead".to_owned());
        }
        if replica.damaged {
            problems.push("durable data was lost here: waits for a leader to repair it".to_owned());
        }
    }
    problems
}

fn finding(finding: Finding) -> v1::Finding {
    let topic = match finding.topic {
        Topic::Forming => v1::Topic::Forming,
        Topic::Leader => v1::Topic::Leader,
        Topic::Peer => v1::Topic::Peer,
        Topic::Pending => v1::Topic::Pending,
        Topic::Local => v1::Topic::Local,
    };
    let fact = |(name, value): (&str, String)| v1::Fact {
        name: name.to_owned(),
        value,
    };
    v1::Finding {
        topic: topic.into(),
        code: finding.code.to_owned(),
        about: finding.about.unwrap_or_default(),
        text: finding.text,
        facts: finding.facts.into_iter().map(fact).collect(),
    }
}
