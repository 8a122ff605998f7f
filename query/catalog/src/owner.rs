//! Who holds a lease, an open intent or an unpublished name: one process of one node.

use std::fmt;

use uuid::Uuid;

/// One process. A process that starts under the name of a node takes over what dead processes of that node left; verbs that run beside
/// a server therefore need a name of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    node: String,
    instance: Uuid,
}

impl Owner {
    /// A new process of `node`. A `/` in the name becomes `-`.
    pub fn new(node: &str) -> Self {
        Self { node: node.replace('/', "-"), instance: Uuid::now_v7() }
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// What every owner of this node begins with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/", self.node)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.instance.as_simple())
    }
}
