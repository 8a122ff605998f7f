//! Where a workspace's objects lie: the one place that writes such a path.

use std::fmt::Display;

use crate::WorkspaceId;

/// The folder of all workspaces in the object store.
pub const WORKSPACES: &str = "workspaces";

impl WorkspaceId {
    /// `workspaces/<id>/<inside>`. `inside` is made of generated parts only, never of a customer's words.
    pub fn place(self, inside: impl Display) -> String {
        format!("{WORKSPACES}/{self}/{inside}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_lies_in_its_workspace() {
        let (acme, globex) = (WorkspaceId::new(), WorkspaceId::new());
        assert_eq!(acme.place("results/x"), format!("workspaces/{acme}/results/x"));
        assert!(!globex.place("results/x").starts_with(&acme.place("")));
    }
}
