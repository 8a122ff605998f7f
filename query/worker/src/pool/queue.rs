//! Callers who wait for a worker: a line a workspace, and the lines take turns.

use std::collections::{HashMap, VecDeque};

use identity::WorkspaceId;

use super::Class;

/// Lines of waiting callers `W`, bounded each and in all.
pub(super) struct Queue<W> {
    lines: HashMap<WorkspaceId, VecDeque<(Class, W)>>,
    /// Whose turn it is; holds each workspace with a line once.
    turns: VecDeque<WorkspaceId>,
    waiting: usize,
    most: usize,
    most_each: usize,
}

impl<W> Queue<W> {
    pub(super) fn new(most: usize, most_each: usize) -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), waiting: 0, most, most_each }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Puts a caller at the end of its workspace's line; gives it back when there is no room.
    pub(super) fn push(&mut self, workspace: WorkspaceId, class: Class, waiter: W) -> Result<(), W> {
        let line = self.lines.entry(workspace).or_default();
        if self.waiting >= self.most || line.len() >= self.most_each {
            return Err(waiter);
        }
        if line.is_empty() {
            self.turns.push_back(workspace);
        }
        line.push_back((class, waiter));
        self.waiting += 1;
        Ok(())
    }

    /// Takes the first caller in turn who may go now; their workspace moves to the end.
    pub(super) fn pop(
        &mut self,
        mut may: impl FnMut(WorkspaceId, Class) -> bool,
    ) -> Option<(WorkspaceId, Class, W)> {
        for turn in 0..self.turns.len() {
            let workspace = *self.turns.get(turn)?;
            let line = self.lines.get_mut(&workspace)?;
            // A job that must wait does not hold up the inline work behind it.
            let Some(place) = line.iter().position(|(class, _)| may(workspace, *class)) else { continue };
            let (class, waiter) = line.remove(place)?;
            let more = !line.is_empty();
            self.turns.remove(turn);
            self.after(workspace, more);
            return Some((workspace, class, waiter));
        }
        None
    }

    /// Drops callers who no longer wait.
    pub(super) fn retain(&mut self, mut waits: impl FnMut(&W) -> bool) {
        for line in self.lines.values_mut() {
            line.retain(|(_, waiter)| waits(waiter));
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|workspace| self.lines.contains_key(workspace));
        self.waiting = self.lines.values().map(VecDeque::len).sum();
    }

    pub(super) fn clear(&mut self) {
        self.retain(|_| false);
    }

    fn after(&mut self, workspace: WorkspaceId, more: bool) {
        self.waiting -= 1;
        match more {
            true => self.turns.push_back(workspace),
            false => drop(self.lines.remove(&workspace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (WorkspaceId, WorkspaceId) {
        (WorkspaceId::new(), WorkspaceId::new())
    }

    #[test]
    fn workspaces_take_turns_however_long_their_lines_are() {
        let (a, b) = two();
        let mut queue = Queue::new(100, 100);
        for n in 0..5 {
            queue.push(a, Class::Inline, n).unwrap();
        }
        queue.push(b, Class::Inline, 10).unwrap();
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop(|_, _| true)).map(|(_, _, n)| n).collect();
        assert_eq!(order, [0, 10, 1, 2, 3, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_job_that_must_wait_does_not_hold_up_inline_work() {
        let (a, _) = two();
        let mut queue = Queue::new(100, 100);
        queue.push(a, Class::Long, 1).unwrap();
        queue.push(a, Class::Inline, 2).unwrap();
        assert_eq!(queue.pop(|_, class| class == Class::Inline).unwrap().2, 2);
        assert!(queue.pop(|_, class| class == Class::Inline).is_none());
        assert_eq!(queue.pop(|_, _| true).unwrap().2, 1);
    }

    #[test]
    fn lines_are_bounded_each_and_in_all() {
        let (a, b) = two();
        let mut queue = Queue::new(3, 2);
        queue.push(a, Class::Inline, 1).unwrap();
        queue.push(a, Class::Inline, 2).unwrap();
        assert_eq!(queue.push(a, Class::Inline, 3), Err(3));
        queue.push(b, Class::Inline, 4).unwrap();
        assert_eq!(queue.push(b, Class::Inline, 5), Err(5));
    }

    #[test]
    fn callers_who_left_are_forgotten() {
        let (a, b) = two();
        let mut queue = Queue::new(10, 10);
        queue.push(a, Class::Inline, 1).unwrap();
        queue.push(b, Class::Inline, 2).unwrap();
        queue.retain(|n| *n == 2);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop(|_, _| true), Some((b, Class::Inline, 2)));
    }
}
