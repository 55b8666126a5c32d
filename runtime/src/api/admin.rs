//! The `Admin` service: the node's state for operators. Knows nothing about how it is gathered.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use chil_core::{Ballot, NodeId, Role};
use chil_proto::v1;
use tonic::{Request, Response, Status};

use crate::request::Requests;
use crate::status::{MemberInfo, NodeStatus, Phase};

/// The service of one node.
#[derive(Clone, Debug)]
pub(crate) struct AdminService {
    pub(crate) requests: Requests,
}

#[tonic::async_trait]
impl v1::admin_server::Admin for AdminService {
    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        match self.requests.status().await {
            Some(status) => Ok(Response::new(response(&status))),
            None => Err(Status::unavailable("the node has stopped")),
        }
    }

    async fn explain(
        &self,
        _request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn move_leader(
        &self,
        _request: Request<v1::MoveLeaderRequest>,
    ) -> Result<Response<v1::MoveLeaderResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    type SaveSnapshotStream = std::pin::Pin<
        Box<dyn tokio_stream::Stream<Item = Result<v1::SaveSnapshotResponse, Status>> + Send>,
    >;

    async fn save_snapshot(
        &self,
        _request: Request<v1::SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        Err(Status::unimplemented("not served yet"))
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
        digest: big_endian(status.digest),
        started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        version: status.version.to_owned(),
        leader: status.leader().map(|leader| v1::MemberStatus {
            node: leader.node.get(),
            name: leader.name.clone(),
            address: leader.address.clone(),
        }),
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
        priority: 0,
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

fn big_endian(number: u128) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
