//! Jobs on both databases.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use identity::WorkspaceId;
use serde_json::json;

use super::{Beat, Job, NewJob, Outcome, Status};
use crate::testing::{Node, each, minute};

const LEASE: Duration = Duration::from_secs(60);
const KINDS: &[&str] = &["sql", "upload"];

fn new(workspace: WorkspaceId, now: DateTime<Utc>) -> NewJob {
    NewJob::new("sql", json!({"sql": "select 1"}), now).of(workspace)
}

async fn claim(node: &Node, now: DateTime<Utc>) -> Option<Job> {
    node.jobs().claim(node.owner(), KINDS, LEASE, now).await.unwrap()
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { result: Some(json!("/v1/jobs/x/result")), meta: Some(json!({"rows": 1})) }
}

#[tokio::test]
async fn a_job_is_claimed_done_and_seen_by_its_workspace_alone() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let queued = jobs.enqueue(new(acme, minute(0)), minute(0)).await.unwrap();
        assert_eq!((queued.status, jobs.open(acme).await.unwrap()), (Status::Queued, 1));
        let running = claim(&node, minute(1)).await.unwrap();
        assert_eq!((running.id, running.status, running.attempts), (queued.id, Status::Running, 1));
        assert_eq!(claim(&node, minute(1)).await, None);
        jobs.progress(queued.id, node.owner(), 250.0, 7).await.unwrap();
        let half = jobs.get(acme, queued.id).await.unwrap().unwrap();
        assert_eq!((half.percent, half.rows, half.payload), (100.0, 7, json!({"sql": "select 1"})));
        assert!(jobs.finish(queued.id, node.owner(), &succeeded(), minute(2)).await.unwrap());
        assert!(!jobs.finish(queued.id, node.owner(), &Outcome::Cancelled, minute(3)).await.unwrap());
        let ended = jobs.get(acme, queued.id).await.unwrap().unwrap();
        assert_eq!(
            (ended.status, ended.ended_at, ended.meta),
            (Status::Succeeded, Some(minute(2)), Some(json!({"rows": 1})))
        );
        let globex = WorkspaceId::new();
        assert_eq!(jobs.get(globex, queued.id).await.unwrap(), None);
        assert_eq!(jobs.cancel(globex, queued.id, minute(3)).await.unwrap(), None);
        assert!(jobs.list(globex, 9, None).await.unwrap().is_empty());
        assert_eq!(jobs.list(acme, 9, None).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_job() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let keyed = |workspace| NewJob { key: Some("run-1".into()), ..new(workspace, minute(0)) };
        let first = jobs.enqueue(keyed(acme), minute(0)).await.unwrap();
        let again = jobs.enqueue(NewJob { payload: json!("other"), ..keyed(acme) }, minute(1)).await.unwrap();
        assert_eq!(again, first);
        let others = jobs.enqueue(keyed(WorkspaceId::new()), minute(1)).await.unwrap();
        assert_ne!(others.id, first.id);
    }
}

#[tokio::test]
async fn a_job_waits_for_its_time_and_its_kind() {
    for node in each().await {
        let acme = WorkspaceId::new();
        node.jobs()
            .enqueue(NewJob { kind: "other".into(), ..new(acme, minute(0)) }, minute(0))
            .await
            .unwrap();
        let later = NewJob { run_at: minute(10), ..new(acme, minute(0)) };
        let later = node.jobs().enqueue(later, minute(0)).await.unwrap();
        assert_eq!(claim(&node, minute(9)).await, None);
        assert_eq!(claim(&node, minute(10)).await.unwrap().id, later.id);
    }
}

#[tokio::test]
async fn the_workspace_with_the_fewest_running_jobs_comes_first() {
    for node in each().await {
        let (busy, quiet) = (WorkspaceId::new(), WorkspaceId::new());
        for _ in 0..3 {
            node.jobs().enqueue(new(busy, minute(0)), minute(0)).await.unwrap();
        }
        node.jobs().enqueue(new(quiet, minute(1)), minute(1)).await.unwrap();
        let mut order = Vec::new();
        while let Some(job) = claim(&node, minute(2)).await {
            order.push(job.workspace.unwrap());
        }
        assert_eq!(order, [busy, quiet, busy, busy]);
    }
}

#[tokio::test]
async fn a_job_of_a_dead_process_is_begun_again_and_given_up_at_last() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let job = jobs.enqueue(new(acme, minute(0)), minute(0)).await.unwrap();
        let other = node.again("other").await;
        claim(&node, minute(0)).await.unwrap();
        assert_eq!(other.jobs().claim(other.owner(), KINDS, LEASE, minute(1)).await.unwrap(), None);
        let late = minute(1) + TimeDelta::seconds(1);
        let taken = other.jobs().claim(other.owner(), KINDS, LEASE, late).await.unwrap().unwrap();
        assert_eq!((taken.id, taken.attempts), (job.id, 2));
        // Who lost it learns so, and can no longer write.
        assert_eq!(jobs.heartbeat(job.id, node.owner(), LEASE, late).await.unwrap(), Beat::Lost);
        assert!(!jobs.finish(job.id, node.owner(), &succeeded(), late).await.unwrap());
        assert_eq!(claim(&node, minute(10)).await.unwrap().attempts, 3);
        assert_eq!(claim(&node, minute(20)).await, None);
        let lost = jobs.get(acme, job.id).await.unwrap().unwrap();
        assert_eq!((lost.status, lost.problem.unwrap()["code"].as_str()), (Status::Failed, Some("internal")));
    }
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    for node in each().await {
        node.jobs().enqueue(new(WorkspaceId::new(), minute(0)), minute(0)).await.unwrap();
        let job = claim(&node, minute(0)).await.unwrap();
        for minutes in 1..5 {
            assert_eq!(
                node.jobs().heartbeat(job.id, node.owner(), LEASE, minute(minutes)).await.unwrap(),
                Beat::Go
            );
            assert_eq!(claim(&node, minute(minutes)).await, None);
        }
    }
}

#[tokio::test]
async fn cancelling_ends_what_waits_and_tells_what_runs() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let waiting = jobs.enqueue(new(acme, minute(0)), minute(0)).await.unwrap();
        let cancelled = jobs.cancel(acme, waiting.id, minute(1)).await.unwrap().unwrap();
        assert_eq!((cancelled.status, cancelled.ended_at), (Status::Cancelled, Some(minute(1))));
        let job = jobs.start(new(acme, minute(1)), node.owner(), LEASE, minute(1)).await.unwrap();
        assert_eq!((job.status, job.attempts), (Status::Running, 1));
        let asked = jobs.cancel(acme, job.id, minute(1)).await.unwrap().unwrap();
        assert_eq!((asked.status, asked.cancel_requested), (Status::Running, true));
        assert_eq!(jobs.look(job.id, node.owner()).await.unwrap(), Beat::Cancel);
        // Its process dies before it could stop: it is not begun again.
        assert_eq!(claim(&node, minute(9)).await, None);
        assert_eq!(jobs.get(acme, job.id).await.unwrap().unwrap().status, Status::Cancelled);
        let again = jobs.cancel(acme, job.id, minute(10)).await.unwrap().unwrap();
        assert_eq!(again.ended_at, Some(minute(9)));
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        jobs.enqueue(new(acme, minute(0)), minute(0)).await.unwrap();
        for attempt in 0..3 {
            let job = claim(&node, minute(attempt * 10)).await.unwrap();
            let retry = Outcome::Retry { at: minute(attempt * 10 + 5), problem: json!({"code": "busy"}) };
            assert!(jobs.finish(job.id, node.owner(), &retry, minute(attempt * 10)).await.unwrap());
            assert_eq!(claim(&node, minute(attempt * 10 + 4)).await, None);
        }
        let failed = jobs.list(acme, 1, None).await.unwrap().remove(0);
        assert_eq!((failed.status, failed.problem), (Status::Failed, Some(json!({"code": "busy"}))));
    }
}

#[tokio::test]
async fn a_run_is_told_of_its_cancellation_and_writes_its_progress() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let now = Utc::now();
        jobs.enqueue(new(acme, now), now).await.unwrap();
        let job = claim(&node, now).await.unwrap();
        let run = jobs.run(job.id, node.owner(), Duration::from_millis(400));
        run.progress(40.0, 12);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(jobs.get(acme, job.id).await.unwrap().unwrap().percent, 40.0);
        // The lease has been renewed although it was shorter than the wait.
        assert_eq!(claim(&node, Utc::now()).await, None);
        assert!(!run.cancelled().is_cancelled());
        jobs.cancel(acme, job.id, Utc::now()).await.unwrap();
        assert!(run.cancelled().is_cancelled());
        assert!(run.finish(&Outcome::Cancelled, Utc::now()).await.unwrap());
    }
}

#[tokio::test]
async fn a_job_given_back_has_lost_no_attempt() {
    for node in each().await {
        let jobs = node.jobs();
        jobs.enqueue(new(WorkspaceId::new(), minute(0)), minute(0)).await.unwrap();
        let job = claim(&node, minute(0)).await.unwrap();
        let run = jobs.run(job.id, node.owner(), LEASE);
        assert!(run.give_back(minute(0)).await.unwrap());
        assert_eq!(claim(&node, minute(0)).await.unwrap().attempts, 1);
    }
}

#[tokio::test]
async fn of_a_lane_one_job_runs_at_a_time() {
    for node in each().await {
        let jobs = node.jobs();
        let of_lane =
            |lane: &str| NewJob { lane: Some(lane.into()), ..NewJob::new("sql", json!({}), minute(0)) };
        let first = jobs.enqueue(of_lane("run:a"), minute(0)).await.unwrap();
        let second = jobs.enqueue(of_lane("run:a"), minute(0)).await.unwrap();
        let other = jobs.enqueue(of_lane("run:b"), minute(0)).await.unwrap();
        assert_eq!(claim(&node, minute(1)).await.unwrap().id, first.id);
        assert_eq!(jobs.take(second.id, node.owner(), LEASE, minute(1)).await.unwrap(), None);
        assert_eq!(claim(&node, minute(1)).await.unwrap().id, other.id);
        assert_eq!(claim(&node, minute(1)).await, None);
        assert!(jobs.finish(first.id, node.owner(), &succeeded(), minute(2)).await.unwrap());
        assert_eq!(
            jobs.take(second.id, node.owner(), LEASE, minute(2)).await.unwrap().unwrap().id,
            second.id
        );
        // Its process dies: the lane is free for whoever comes next, and the job is taken up again.
        let third = jobs.enqueue(of_lane("run:a"), minute(3)).await.unwrap();
        assert_eq!(jobs.take(third.id, node.owner(), LEASE, minute(9)).await.unwrap().unwrap().id, third.id);
        assert!(jobs.finish(third.id, node.owner(), &succeeded(), minute(9)).await.unwrap());
        // The other lane's process is dead too, and its job older.
        let left = [claim(&node, minute(20)).await.unwrap().id, claim(&node, minute(20)).await.unwrap().id];
        assert!(left.contains(&second.id) && left.contains(&other.id));
    }
}

#[tokio::test]
async fn the_platforms_jobs_are_the_operators() {
    for node in each().await {
        let (acme, jobs) = (WorkspaceId::new(), node.jobs());
        let own = jobs.enqueue(new(acme, minute(0)), minute(0)).await.unwrap();
        let foreign = jobs.enqueue(new(WorkspaceId::new(), minute(0)), minute(0)).await.unwrap();
        let run = jobs.enqueue(NewJob::new("run", json!({}), minute(0)), minute(0)).await.unwrap();
        let listed = |own| {
            let jobs = jobs.clone();
            async move {
                jobs.list_platform(own, 9, None).await.unwrap().into_iter().map(|j| j.id).collect::<Vec<_>>()
            }
        };
        assert_eq!(listed(None).await, [run.id]);
        assert_eq!(listed(Some(acme)).await, [run.id, own.id]);
        assert_eq!(jobs.get(acme, run.id).await.unwrap(), None);
        assert_eq!(jobs.get_platform(foreign.id).await.unwrap(), None);
        assert_eq!(jobs.cancel_platform(foreign.id, minute(1)).await.unwrap(), None);
        let cancelled = jobs.cancel_platform(run.id, minute(1)).await.unwrap().unwrap();
        assert_eq!(cancelled.status, Status::Cancelled);
        let again = jobs.again(run.id, minute(2)).await.unwrap().unwrap();
        assert_eq!((again.status, again.attempts, again.ended_at), (Status::Queued, 0, None));
        assert_eq!(jobs.again(run.id, minute(2)).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_runners_each_job_has_one() {
    for node in each().await {
        for _ in 0..20 {
            node.jobs().enqueue(new(WorkspaceId::new(), minute(0)), minute(0)).await.unwrap();
        }
        let runners = (0..4).map(|_| {
            let catalog = node.catalog.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some(job) =
                    catalog.jobs().claim(catalog.owner(), KINDS, LEASE, minute(1)).await.unwrap()
                {
                    mine.push(job.id);
                }
                mine
            })
        });
        let mut all = Vec::new();
        for runner in runners.collect::<Vec<_>>() {
            all.extend(runner.await.unwrap());
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }
}
