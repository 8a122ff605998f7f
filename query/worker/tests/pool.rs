//! Real processes: this executable starts itself as the worker, with handlers that misbehave on purpose.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "the list of tests goes to stdout")]

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use identity::WorkspaceId;
use serde_json::{Value, json};
use worker::{
    Admission, Class, Death, Files, Lease, Limits, NoFiles, Pool, PoolConfig, Refusal, Reply, Task,
    TaskError, serve,
};

/// What the worker does when asked: one word a misdeed.
async fn handle(task: Task) -> Result<Reply, Refusal> {
    match task.request["do"].as_str().unwrap_or_default() {
        "echo" => Ok(Reply { head: task.request.clone(), body: Bytes::from_static(b"body") }),
        "refuse" => Err(Refusal::new("invalid-sql", "no").with_errors(vec![json!({"line": 1})])),
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Reply::head(Value::Null))
        }
        "spin" => loop {
            std::hint::black_box(0);
        },
        "allocate" => Ok(Reply::head(json!(std::hint::black_box(vec![1_u8; 3 << 30]).len()))),
        "deep" => Ok(Reply::head(json!(recurse(1 << 40)))),
        "panic" => panic!("on purpose"),
        "abort" => std::process::abort(),
        "read" => read(&task).await,
        "big-file" => grow(&task.scratch),
        "write" => attempt(std::fs::write(task.scratch.join("out.txt"), b"done")),
        "look" => attempt(std::fs::read("/etc/passwd")),
        "list" => {
            Ok(Reply::head(json!(std::fs::read_dir(&task.scratch).map(Iterator::count).unwrap_or(999))))
        }
        "connect" => attempt(std::net::TcpStream::connect("127.0.0.1:1")),
        "run" => attempt(std::process::Command::new("/bin/true").status()),
        "environment" => Ok(Reply::head(json!(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>()))),
        other => Err(Refusal::new("internal", other)),
    }
}

#[expect(unconditional_recursion, reason = "the point of it")]
fn recurse(n: u64) -> u64 {
    let room = std::hint::black_box([n; 512]);
    recurse(n - 1) + room[7]
}

async fn read(task: &Task) -> Result<Reply, Refusal> {
    let size = task.files.size(0).await.map_err(|e| Refusal::new("internal", e.to_string()))?;
    let read = task.files.read(0, 1..size).await.map_err(|e| Refusal::new("internal", e.to_string()))?;
    let missing = task.files.read(7, 0..1).await.is_err();
    task.files.progress(json!({"percent": 50})).await;
    Ok(Reply { head: json!({"size": size, "missing": missing}), body: read })
}

fn grow(scratch: &Path) -> Result<Reply, Refusal> {
    use std::io::Write as _;
    let mut file =
        std::fs::File::create(scratch.join("big")).map_err(|e| Refusal::new("internal", e.to_string()))?;
    let block = vec![0_u8; 1 << 20];
    while file.write_all(&block).is_ok() {}
    Ok(Reply::head(json!("stopped")))
}

fn attempt<T>(result: io::Result<T>) -> Result<Reply, Refusal> {
    Ok(Reply::head(json!(match result {
        Ok(_) => "worked".to_owned(),
        Err(error) => error.kind().to_string(),
    })))
}

/// Files that count what they are asked.
#[derive(Default)]
struct Numbers {
    told: AtomicUsize,
}

#[async_trait::async_trait]
impl Files for Numbers {
    async fn size(&self, index: usize) -> io::Result<u64> {
        if index == 0 { Ok(10_000_001) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        self.size(index).await?;
        Ok(range.map(|at| (at % 251) as u8).collect::<Vec<u8>>().into())
    }

    fn progress(&self, told: Value) {
        self.told.store(told["percent"].as_u64().unwrap() as usize, Ordering::Relaxed);
    }
}

struct Bench {
    pool: Pool,
    root: tempfile::TempDir,
}

fn bench(workers: usize, change: impl FnOnce(&mut PoolConfig)) -> Bench {
    let root = tempfile::tempdir().unwrap();
    let mut config = PoolConfig::new(std::env::current_exe().unwrap(), root.path().join("scratch"));
    config.workers = workers;
    config.per_workspace = workers.saturating_sub(2).max(1);
    config.limits = Limits { memory_bytes: 512 << 20, cpu_secs: 2, file_bytes: 8 << 20, ..Limits::default() };
    change(&mut config);
    Bench { pool: Pool::start(config).unwrap(), root }
}

impl Bench {
    async fn lease(&self, workspace: WorkspaceId) -> Lease {
        self.pool.lease(workspace, Class::Inline, soon(20)).await.unwrap()
    }

    async fn run(&self, word: &str) -> Result<Reply, TaskError> {
        run(&mut self.lease(WorkspaceId::new()).await, word).await
    }
}

fn soon(secs: u64) -> Instant {
    Instant::now() + Duration::from_secs(secs)
}

async fn run(lease: &mut Lease, word: &str) -> Result<Reply, TaskError> {
    lease.run("query", &json!({"do": word}), Arc::new(NoFiles), Duration::from_secs(20)).await
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = soon(10);
    while !is() {
        assert!(Instant::now() < end, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn a_task_is_answered_and_a_refusal_keeps_its_code() {
    let bench = bench(3, |_| {});
    let mut lease = bench.lease(WorkspaceId::new()).await;
    let reply = run(&mut lease, "echo").await.unwrap();
    assert_eq!((reply.head["do"].as_str(), &reply.body[..]), (Some("echo"), &b"body"[..]));
    let refused = run(&mut lease, "refuse").await.unwrap_err();
    let TaskError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code.as_str(), refusal.errors.len()), ("invalid-sql", 1));
    assert!(run(&mut lease, "echo").await.is_ok(), "a refusal does not spend the lease");
}

async fn files_come_by_ranges_and_only_those_of_the_task() {
    let bench = bench(3, |_| {});
    let mut lease = bench.lease(WorkspaceId::new()).await;
    let files = Arc::new(Numbers::default());
    let reply =
        lease.run("files", &json!({"do": "read"}), files.clone(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(reply.head, json!({"size": 10_000_001, "missing": true}));
    assert!(reply.body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == (at + 1) % 251));
    assert_eq!((reply.body.len(), files.told.load(Ordering::Relaxed)), (10_000_000, 50));
    let refused = run(&mut lease, "read").await;
    assert!(matches!(refused, Err(TaskError::Refused(_))), "the files of the last task are gone");
}

async fn each_way_to_die_has_its_reason() {
    let bench = bench(3, |_| {});
    for (word, reason) in [
        ("allocate", Death::Memory),
        ("spin", Death::Cpu),
        ("big-file", Death::Disk),
        ("deep", Death::Stack),
        ("panic", Death::Panic),
        ("abort", Death::Signal),
    ] {
        let outcome = bench.run(word).await;
        assert!(matches!(outcome, Err(TaskError::Died(death)) if death == reason), "{word}: {outcome:?}");
        assert!(bench.run("echo").await.is_ok(), "after {word}");
    }
}

async fn the_deadline_kills_and_waits() {
    let bench = bench(3, |_| {});
    let mut lease = bench.lease(WorkspaceId::new()).await;
    let pid = lease.pid().unwrap();
    let began = Instant::now();
    let timeout = Duration::from_millis(300);
    let outcome = lease.run("query", &json!({"do": "sleep"}), Arc::new(NoFiles), timeout).await;
    assert!(matches!(outcome, Err(TaskError::Deadline)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2) && !alive(pid));
    assert!(matches!(run(&mut lease, "echo").await, Err(TaskError::Io(_))), "the lease is spent");
}

async fn a_caller_who_leaves_ends_the_work() {
    let bench = bench(3, |_| {});
    let mut lease = bench.lease(WorkspaceId::new()).await;
    let pid = lease.pid().unwrap();
    let gone = tokio::time::timeout(Duration::from_millis(200), run(&mut lease, "sleep")).await;
    assert!(gone.is_err());
    drop(lease);
    until("the end of the process", || !alive(pid)).await;
    until("a replacement", || bench.pool.state().fresh == 3).await;
}

async fn a_worker_serves_one_workspace_only() {
    let bench = bench(2, |_| {});
    let (a, b) = (WorkspaceId::new(), WorkspaceId::new());
    let first = bench.lease(a).await.pid();
    until("the first to be idle", || bench.pool.state().idle == 1).await;
    assert_eq!(bench.lease(a).await.pid(), first, "its own workspace gets the warm one");
    let mut seen = vec![first];
    for _ in 0..4 {
        let lease = bench.lease(b).await;
        assert_ne!(lease.pid(), first);
        seen.push(lease.pid());
    }
    until("the last to be idle", || bench.pool.state().running == 0).await;
    let again = bench.lease(a).await.pid();
    assert!(again == first || !seen.contains(&again), "{again:?} of {seen:?}");
}

async fn the_scratch_folder_is_emptied_and_removed() {
    let bench = bench(2, |_| {});
    let workspace = WorkspaceId::new();
    let mut lease = bench.lease(workspace).await;
    assert_eq!(run(&mut lease, "write").await.unwrap().head, json!("worked"));
    assert_eq!(std::fs::read(lease.scratch().join("out.txt")).unwrap(), b"done");
    let scratch = lease.scratch().to_owned();
    drop(lease);
    until("the worker to be idle", || bench.pool.state().idle == 1).await;
    assert_eq!(run(&mut bench.lease(workspace).await, "list").await.unwrap().head, json!(0));
    bench.pool.close();
    until("the folder to be removed", || !scratch.exists()).await;
    until("all folders to be removed", || {
        std::fs::read_dir(bench.root.path().join("scratch")).unwrap().count() == 0
    })
    .await;
}

async fn the_walls_stand() {
    let bench = bench(3, |_| {});
    let mut lease = bench.lease(WorkspaceId::new()).await;
    for word in ["connect", "run"] {
        assert_eq!(run(&mut lease, word).await.unwrap().head, json!("permission denied"), "{word}");
    }
    let looked = run(&mut lease, "look").await.unwrap().head;
    use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let strict =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Execute);
    let fenced = strict.is_ok_and(|rules| rules.create().is_ok());
    assert_eq!(looked == json!("permission denied"), fenced, "{looked}");
    let names = run(&mut lease, "environment").await.unwrap().head;
    let allowed = ["LAKEFRONT_WORKER", "MALLOC_ARENA_MAX", "TMPDIR", "RUST_LOG", "LAKEFRONT_FAILPOINTS"];
    assert!(
        names.as_array().unwrap().iter().all(|name| allowed.contains(&name.as_str().unwrap())),
        "{names}"
    );
}

async fn workspaces_and_long_tasks_leave_room_for_others() {
    let bench = bench(3, |config| config.per_workspace = 2);
    let (a, b, c) = (WorkspaceId::new(), WorkspaceId::new(), WorkspaceId::new());
    let (one, two) = (bench.lease(a).await, bench.lease(a).await);
    let third = bench.pool.lease(a, Class::Inline, soon(0)).await;
    assert_eq!(third.err(), Some(Admission::Busy { retry_after: Duration::from_secs(1) }));
    assert!(one.promoter().into_long() && one.promoter().into_long(), "promoting twice is once");
    assert!(!two.promoter().into_long(), "a workspace keeps a place for its inline work");
    drop(two);
    let promoter = one.promoter();
    let other = bench.pool.lease(b, Class::Long, soon(20)).await.unwrap();
    let short = Instant::now() + Duration::from_millis(100);
    assert!(bench.pool.lease(c, Class::Long, short).await.is_err(), "one process is left to inline work");
    let inline = bench.lease(c).await;
    assert!(!inline.promoter().into_long());
    drop(one);
    assert!(!promoter.into_long(), "an ended lease is no job");
    until("room for a job", || inline.promoter().into_long()).await;
    drop(other);
}

async fn the_queue_is_fair_and_bounded() {
    let bench = bench(1, |config| config.queue_per_workspace = 3);
    let (a, b) = (WorkspaceId::new(), WorkspaceId::new());
    let held = bench.lease(a).await;
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut callers = Vec::new();
    for (name, workspace) in [("a", a), ("a", a), ("a", a), ("b", b)] {
        let (pool, order) = (bench.pool.clone(), order.clone());
        callers.push(tokio::spawn(async move {
            let lease = pool.lease(workspace, Class::Inline, soon(20)).await.unwrap();
            order.lock().push(name);
            drop(lease);
        }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(bench.pool.lease(a, Class::Inline, soon(1)).await, Err(Admission::Busy { .. })));
    drop(held);
    for caller in callers {
        caller.await.unwrap();
    }
    let order = order.lock().clone();
    assert!(order[..2].contains(&"b"), "{order:?}");
}

async fn a_worker_that_dies_idle_is_replaced() {
    let bench = bench(2, |_| {});
    bench.pool.ready(2).await;
    let lease = bench.lease(WorkspaceId::new()).await;
    let pid = lease.pid().unwrap();
    drop(lease);
    until("the worker to be idle", || bench.pool.state().idle == 1).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("a replacement", || bench.pool.state().fresh == 2).await;
}

async fn workers_end_with_their_gateway() {
    let bench = bench(2, |_| {});
    bench.pool.ready(2).await;
    let pid = bench.lease(WorkspaceId::new()).await.pid().unwrap();
    drop(bench);
    until("the end of the process", || !alive(pid)).await;
}

/// Another process as the gateway, killed without a word while its worker is busy.
async fn workers_end_when_their_gateway_is_killed_in_mid_task() {
    for word in ["sleep", "spin"] {
        let root = tempfile::tempdir().unwrap();
        let mut gateway = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["gateway", word])
            .arg(root.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = tokio::io::BufReader::new(gateway.stdout.take().unwrap());
        tokio::io::AsyncBufReadExt::read_line(&mut told, &mut line).await.unwrap();
        let worker = line.trim().parse().unwrap();
        assert!(alive(worker), "{line}");
        gateway.kill().await.unwrap();
        until("the end of the worker", || !alive(worker)).await;
        // The next gateway clears what the dead one left.
        let mut config = PoolConfig::new("/bin/false".into(), root.path().join("scratch"));
        config.workers = 0;
        let _pool = Pool::start(config).unwrap();
        assert_eq!(std::fs::read_dir(root.path().join("scratch")).unwrap().count(), 0);
    }
}

/// The process that the test above kills.
async fn gateway(word: &str, root: &Path) {
    let mut config = PoolConfig::new(std::env::current_exe().unwrap(), root.join("scratch"));
    config.workers = 1;
    let pool = Pool::start(config).unwrap();
    let mut lease = pool.lease(WorkspaceId::new(), Class::Inline, soon(20)).await.unwrap();
    let pid = lease.pid().unwrap();
    let _never = tokio::join!(run(&mut lease, word), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        println!("{pid}");
    });
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), || Box::pin($name()))),*]
    };
}

type Test = (&'static str, fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>);

const TESTS: &[Test] = tests![
    a_task_is_answered_and_a_refusal_keeps_its_code,
    files_come_by_ranges_and_only_those_of_the_task,
    each_way_to_die_has_its_reason,
    the_deadline_kills_and_waits,
    a_caller_who_leaves_ends_the_work,
    a_worker_serves_one_workspace_only,
    the_scratch_folder_is_emptied_and_removed,
    the_walls_stand,
    workspaces_and_long_tasks_leave_room_for_others,
    the_queue_is_fair_and_bounded,
    a_worker_that_dies_idle_is_replaced,
    workers_end_with_their_gateway,
    workers_end_when_their_gateway_is_killed_in_mid_task,
];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|verb| verb == "worker") {
        return serve(handle).unwrap();
    }
    if let [verb, word, root] = args.as_slice()
        && verb == "gateway"
    {
        return runtime().block_on(gateway(word, Path::new(root)));
    }
    let asked = |flag: &str| args.iter().any(|arg| arg == flag);
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        match (asked("--list"), asked("--ignored")) {
            (true, false) => println!("{name}: test"),
            (_, true) => {}
            (false, false) => {
                let began = Instant::now();
                runtime().block_on(test());
                println!("test {name} ... ok ({:?})", began.elapsed());
            }
        }
    }
}
