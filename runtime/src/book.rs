//! Names and addresses of the members. Knows nothing about connections or votes.

use std::collections::BTreeMap;

use chil_core::{Membership, NodeId};

use crate::status::MemberInfo;

/// Who the members are and where each can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    me: NodeId,
    members: BTreeMap<NodeId, MemberInfo>,
}

impl Book {
    /// The members of `membership` as seen by `me`, which is reached at `my_address`. What the
    /// configuration says by name (`named`) is newer than what the membership recorded.
    pub(crate) fn new(
        membership: &Membership,
        me: NodeId,
        my_address: &str,
        named: &BTreeMap<NodeId, String>,
    ) -> Self {
        let info = |(&node, member): (&NodeId, &chil_core::Member)| {
            let configured = if node == me {
                Some(my_address.to_owned())
            } else {
                named.get(&node).cloned()
            };
            let info = MemberInfo {
                node,
                name: member.name.clone(),
                address: configured.unwrap_or_else(|| member.addr.clone()),
                weight: member.weight,
            };
            (node, info)
        };
        Self {
            me,
            members: membership.members.iter().map(info).collect(),
        }
    }

    /// Where `node` can be reached.
    pub(crate) fn address(&self, node: NodeId) -> Option<&str> {
        self.members
            .get(&node)
            .map(|member| member.address.as_str())
    }

    /// The member `node`.
    pub(crate) fn member(&self, node: NodeId) -> Option<&MemberInfo> {
        self.members.get(&node)
    }

    /// What people call `node`.
    pub(crate) fn name(&self, node: NodeId) -> String {
        self.members
            .get(&node)
            .map_or_else(|| node.to_string(), |member| member.name.clone())
    }

    /// `node` was found at `address`. Takes that over; returns whether it is news.
    pub(crate) fn found(&mut self, node: NodeId, address: &str) -> bool {
        let member = self.members.get_mut(&node);
        let Some(member) = member.filter(|m| m.node != self.me && m.address != address) else {
            return false;
        };
        address.clone_into(&mut member.address);
        true
    }

    /// All members but this node.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &MemberInfo> {
        let members = self.members.values();
        members.filter(|member| member.node != self.me)
    }

    /// Everybody.
    pub(crate) fn members(&self) -> Vec<MemberInfo> {
        self.members.values().cloned().collect()
    }
}
