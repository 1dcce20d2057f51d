//! What happens to a stack in its life: kills, reloads, scaling, rollouts, a missing agent, backups. Each test has a stack of its own, because
//! each disturbs it; they take turns, because the machine is small.

// The turn is held for the whole of a test: each has a runtime and a thread of its own, so nobody waits for it inside a runtime.
#![allow(clippy::await_holding_lock)]

use std::{
    process::{Command, Output},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::StatusCode;
use monodon_tests::{
    eventually,
    load::{Load, Outcome, Shot},
    root,
    stack::{Plan, Stack, text},
};
use serde_json::Value;

static TURN: Mutex<()> = Mutex::new(());

const SOON: Duration = Duration::from_secs(40);

/// Pages that need no account. The POST has a CSRF token that Django takes (cookie and field agree) and ends at the login page.
const VISITS: &[Shot] = &[
    Shot { method: "GET", path: "/", headers: &[], body: "" },
    Shot {
        method: "POST",
        path: "/ask/",
        headers: &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", "csrftoken=0123456789abcdefghijklmnopqrstuv"),
        ],
        body: "csrfmiddlewaretoken=0123456789abcdefghijklmnopqrstuv&title=x",
    },
    Shot { method: "GET", path: "/accounts/login/", headers: &[], body: "" },
];

fn up(name: &str) -> (Stack, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (Plan::appliance(name).with("MONODON_WORKER_WORKERS", "2").up(), turn)
}

fn load(stack: &Stack) -> Load {
    Load::start(&Arc::new(stack.browser()), 6, VISITS)
}

fn nothing_lost(outcome: &Outcome) {
    assert!(outcome.losses.is_empty(), "{} answered, lost: {:?}", outcome.answered, outcome.losses);
}

async fn answers(stack: &Stack) {
    eventually("the site answers", SOON, async || {
        let page = stack.browser().send("GET", "/", &[], "".into()).await.map_err(|error| error.to_string())?;
        (page.status == StatusCode::OK).then_some(()).ok_or_else(|| page.status.to_string())
    })
    .await;
}

/// The worker's processes as it tells them: number inside the container, by entry.
fn processes(stack: &Stack) -> Vec<i64> {
    let said = stack.must(&["exec", "-T", "worker", "monodon-worker", "status", "--json"]);
    let status: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let processes = status["processes"].as_array().unwrap_or_else(|| panic!("no processes in {said}"));
    processes.iter().filter_map(|process| process["pid"].as_i64()).collect()
}

fn make(stack: &Stack, arguments: &[&str]) -> Output {
    let done = Command::new("make")
        .arg("--no-print-directory")
        .args(arguments)
        .current_dir(root())
        .envs(stack.environment())
        .output()
        .expect("make is there");
    assert!(done.status.success(), "make {arguments:?}:\n{}{}", text(&done.stdout), text(&done.stderr));
    done
}

#[tokio::test]
async fn a_killed_container_comes_back() {
    let (stack, _turn) = up("killed");
    for service in ["worker", "edge"] {
        let container = stack.containers(service).remove(0);
        let pid = stack.pid(&container);
        // From the host: `docker kill` would count as asked for, and nothing restarts what was asked to end.
        let done = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill is there");
        assert!(done.success());
        eventually("the engine has started it again", SOON, async || {
            let now = stack.inspect(&container, "{{.State.Running}} {{.RestartCount}}");
            (now == "true 1").then_some(()).ok_or(now)
        })
        .await;
        answers(&stack).await;
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_get() {
    let (stack, _turn) = up("process");
    let load = load(&stack);
    load.more(100).await;
    for _ in 0..3 {
        let victim = processes(&stack).first().copied().expect("a process");
        let kill = format!("import os; os.kill({victim}, 9)");
        let _ = stack.must(&["exec", "-T", "worker", "python", "-c", &kill]);
        eventually("another stands in its place", SOON, async || {
            let now = processes(&stack);
            (now.len() >= 2 && !now.contains(&victim)).then_some(()).ok_or_else(|| format!("{now:?}"))
        })
        .await;
        load.more(100).await;
    }
    let outcome = load.stop().await;
    let gets: Vec<_> = outcome.losses.iter().filter(|loss| loss.method == "GET").collect();
    assert!(gets.is_empty(), "{} answered, lost: {gets:?}", outcome.answered);
    assert!(
        outcome.losses.len() <= 3,
        "more than the requests in hand of three killed processes: {:?}",
        outcome.losses
    );
}

#[tokio::test]
async fn reloading_worker_and_edge_loses_nothing() {
    let (stack, _turn) = up("reload");
    let load = load(&stack);
    load.more(100).await;
    let before = processes(&stack);
    let _ = stack.must(&["exec", "-T", "worker", "monodon-worker", "reload"]);
    eventually("a new generation serves", SOON, async || {
        let now = processes(&stack);
        let renewed = now.len() >= 2 && now.iter().all(|pid| !before.contains(pid));
        renewed.then_some(()).ok_or_else(|| format!("{before:?}, now {now:?}"))
    })
    .await;
    load.more(100).await;
    let _ = stack.must(&["exec", "-T", "edge", "monodon-edge", "reload"]);
    load.more(100).await;
    nothing_lost(&load.stop().await);
}

#[tokio::test]
async fn scaling_to_three_and_back_loses_nothing() {
    let (stack, _turn) = up("scale");
    let load = load(&stack);
    load.more(100).await;
    for count in ["3", "1"] {
        let scale = format!("worker={count}");
        let _ = stack.must(&[
            "up",
            "--detach",
            "--no-build",
            "--no-recreate",
            "--no-deps",
            "--wait",
            "--scale",
            &scale,
            "worker",
        ]);
        load.more(200).await;
        if count == "3" {
            // The edge finds the new ones by itself: each has answered something.
            eventually("all three serve", SOON, async || {
                for index in 1..=3 {
                    let index = format!("--index={index}");
                    let said = stack.must(&["exec", "-T", &index, "worker", "monodon-worker", "status", "--json"]);
                    let status: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
                    let processes = status["processes"].as_array().cloned().unwrap_or_default();
                    if processes.iter().filter_map(|process| process["requests"].as_u64()).sum::<u64>() == 0 {
                        return Err(said);
                    }
                }
                Ok(())
            })
            .await;
        }
    }
    nothing_lost(&load.stop().await);
}

#[tokio::test]
async fn a_worker_at_another_address_is_found() {
    let (stack, _turn) = up("moved");
    let _ = stack.must(&["up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--wait", "worker"]);
    answers(&stack).await;
}

#[tokio::test]
async fn a_rollout_loses_nothing() {
    let (stack, _turn) = up("rollout");
    let before = stack.containers("worker");
    let load = load(&stack);
    load.more(100).await;
    let _ = make(&stack, &["rollout"]);
    load.more(100).await;
    nothing_lost(&load.stop().await);
    let after = stack.containers("worker");
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

#[tokio::test]
async fn static_files_and_an_error_page_are_served_while_the_worker_is_down() {
    let (stack, _turn) = up("down");
    let mut browser = stack.browser();
    let page = browser.get("/").await.text();
    let css = page.split('"').find(|part| part.starts_with("/static/board/board.")).expect("a style sheet").to_owned();
    let _ = stack.must(&["stop", "worker"]);
    let refused = browser.get("/").await;
    assert!(matches!(refused.status.as_u16(), 502 | 503), "{}", refused.status);
    assert!(refused.text().contains(refused.header("x-request-id")), "{}", refused.text());
    assert_eq!(browser.get(&css).await.status, StatusCode::OK);
    let _ = stack.must(&["start", "worker"]);
    answers(&stack).await;
}

#[tokio::test]
async fn without_the_agent_the_sidecar_is_degraded_and_all_else_well() {
    let (stack, _turn) = up("agent");
    let _ = stack.must(&["stop", "agent"]);
    let address = format!("http://{}/healthz", stack.published("sidecar", 9100));
    eventually("the sidecar warns", SOON, async || {
        let done =
            Command::new("curl").args(["--silent", "--write-out", "\n%{http_code}", &address]).output().expect("curl");
        let said = text(&done.stdout);
        let warns = said.contains("\"status\":\"warn\"") && said.ends_with("200");
        warns.then_some(()).ok_or(said)
    })
    .await;
    answers(&stack).await;
}

#[tokio::test]
async fn up_again_is_harmless_and_the_release_repeatable() {
    let (stack, _turn) = up("again");
    let before = (stack.containers("edge"), stack.containers("worker"));
    let _ = stack.must(&["up", "--detach", "--no-build", "--wait", "--wait-timeout", "90"]);
    assert_eq!(before, (stack.containers("edge"), stack.containers("worker")), "something was recreated");
    answers(&stack).await;
}

#[tokio::test]
async fn a_day_in_the_life() {
    let (stack, _turn) = up("day");
    // manage
    let seeded = make(&stack, &["manage", "ARGS=seed"]);
    assert!(seeded.status.success());
    let full = stack.browser().get("/").await.text();
    assert!(full.contains("\"/questions/"), "{full}");
    // backup, damage, restore
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut backup = Command::new("make");
    backup.args(["--no-print-directory", "backup"]).current_dir(root());
    backup.envs(stack.environment()).env("MONODON_BACKUPS", folder.path());
    let done = backup.output().expect("make");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    let file = std::fs::read_dir(folder.path()).expect("backups").next().expect("a backup").expect("readable").path();
    let ca = stack.ca();
    let damage = "from questions.models import Question; Question.objects.all().delete()";
    let _ = stack.must(&["exec", "-T", "worker", "python", "manage.py", "shell", "-c", damage]);
    assert!(!stack.browser().get("/").await.text().contains("\"/questions/"));
    let _ = make(&stack, &["restore", &format!("FILE={}", file.display())]);
    answers(&stack).await;
    assert!(stack.browser().get("/").await.text().contains("\"/questions/"), "the questions did not come back");
    assert_eq!(ca, stack.ca(), "the CA that people trust has changed");
    // shell, reload, status
    let _ = make(&stack, &["reload"]);
    let _ = make(&stack, &["status"]);
    let mut shell = Command::new("make");
    shell.args(["--no-print-directory", "shell"]).current_dir(root()).envs(stack.environment());
    shell.stdin(std::process::Stdio::null());
    assert!(shell.output().expect("make").status.success(), "make shell");
    answers(&stack).await;
}

/// The commented `tasks` service is what README tells to take the comment from: it must be right when somebody does.
#[tokio::test]
async fn the_commented_tasks_service_works_once_uncommented() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let file = std::fs::read_to_string(root().join("compose.yaml")).expect("compose.yaml");
    let (before, rest) = file.split_once("  # tasks:\n").expect("the commented service");
    let (commented, after) = rest.split_once("\n\n").expect("its end");
    let celery = "[\"celery\", \"-A\", \"mysite\", \"worker\", \"--concurrency\", \"2\"]";
    let ours = "[\"python\", \"manage.py\", \"shell\", \"-c\", \"import time; from questions.models import Question; \
                print('tasks sees', Question.objects.count(), 'questions', flush=True); time.sleep(600)\"]";
    assert!(commented.contains(celery), "{commented}");
    let uncommented = commented.lines().map(|line| line.replacen("  # ", "  ", 1));
    let service = uncommented.collect::<Vec<_>>().join("\n").replace(celery, ours);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("compose.yaml");
    std::fs::write(&path, format!("{before}  tasks:\n{service}\n\n{after}")).expect("written");
    let stack = Plan::of("tasks", root(), &[&path.display().to_string(), "compose.test.yaml"]).up();
    eventually("the task runs with the application's database", SOON, async || {
        let said = stack.logs("tasks");
        said.contains("tasks sees 0 questions").then_some(()).ok_or(said)
    })
    .await;
}
