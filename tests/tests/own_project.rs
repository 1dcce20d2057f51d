//! Somebody's own project, in a folder of their own: `monodon-worker init`, `docker compose up`, and it is served.

use std::{fs, path::Path, process::Command, time::Duration};

use hyper::StatusCode;
use monodon_tests::{
    eventually,
    stack::{Plan, Stack, text},
};

/// The worker's image, which carries Python, `monodon-worker init`, and is what a user has at hand.
fn worker_image() -> String {
    let prefix = std::env::var("MONODON_IMAGE_PREFIX").unwrap_or_else(|_| "monodon".to_owned());
    let version = std::env::var("MONODON_VERSION").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned());
    format!("{prefix}/worker:{version}")
}

/// An image in which Django is installed: the example's.
const DJANGO_IMAGE: &str = "monodon/example-django:latest";

/// Runs a command of an image on a folder, as its owner. The files travel by `docker cp`: a test may run in a container itself, where
/// the engine does not see this folder.
fn in_image(image: &str, folder: &Path, command: &str) -> String {
    let created = Command::new("docker")
        .args(["create", "--user", "0", "--workdir", "/srv", image, "sh", "-ec", &format!("cd project; {command}")])
        .output()
        .expect("docker is there");
    assert!(created.status.success(), "{}", text(&created.stderr));
    let container = text(&created.stdout).trim().to_owned();
    let copy = |from: &str, to: &str| {
        let done = Command::new("docker").args(["cp", from, to]).output().expect("docker is there");
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    copy(&format!("{}/.", folder.display()), &format!("{container}:/srv/project"));
    let ran = Command::new("docker").args(["start", "--attach", &container]).output().expect("docker is there");
    let said = text(&ran.stdout) + &text(&ran.stderr);
    if ran.status.success() {
        copy(&format!("{container}:/srv/project/."), &folder.display().to_string());
    }
    let _ = Command::new("docker").args(["rm", "--force", "--volumes", &container]).output();
    assert!(ran.status.success(), "{command}: {said}");
    said
}

/// Where a build must go through a company's proxy, `make` finds the bundle; a user's compose file takes it by the same variable.
fn served(name: &str, folder: &Path) -> Stack {
    let plan = Plan::of(name, folder, &["compose.yaml"]);
    plan.with("MONODON_WORKER_WORKERS", "2").up()
}

async fn home(stack: &Stack, wanted: &str) {
    eventually("the page is served", Duration::from_secs(30), async || {
        let page = stack.browser().send("GET", "/", &[], "".into()).await.map_err(|error| error.to_string())?;
        let good = page.status == StatusCode::OK && page.text().contains(wanted);
        good.then_some(()).ok_or_else(|| format!("{}: {}", page.status, page.text()))
    })
    .await;
}

#[tokio::test]
async fn a_fresh_django_project_is_served_and_its_admin_can_be_entered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _ = in_image(DJANGO_IMAGE, folder.path(), "env -u DJANGO_SETTINGS_MODULE django-admin startproject mysite .");
    fs::write(folder.path().join("requirements.txt"), "django\n").expect("requirements.txt is written");
    let said = in_image(&worker_image(), folder.path(), "monodon-worker init");
    for file in ["Dockerfile", "compose.yaml", ".env.example", ".dockerignore"] {
        assert!(folder.path().join(file).exists(), "{file} was not written: {said}");
    }
    // Again: it overwrites nothing.
    fs::write(folder.path().join("Dockerfile"), "# mine\n").expect("written");
    let _ = in_image(&worker_image(), folder.path(), "monodon-worker init || true");
    assert_eq!(fs::read_to_string(folder.path().join("Dockerfile")).expect("read"), "# mine\n");
    let _ = in_image(&worker_image(), folder.path(), "monodon-worker init --force");

    let stack = served("django", folder.path());
    home(&stack, "The install worked successfully").await;
    let make = "from django.contrib.auth import get_user_model as u; u().objects.create_superuser('root', '', 'pass-phrase-of-root')";
    let _ = stack.must(&["exec", "-T", "worker", "python", "manage.py", "shell", "-c", make]);
    let mut browser = stack.browser();
    let login = browser.get("/admin/login/").await;
    let token = login.field("csrfmiddlewaretoken");
    let fields = [
        ("csrfmiddlewaretoken", &*token),
        ("username", "root"),
        ("password", "pass-phrase-of-root"),
        ("next", "/admin/"),
    ];
    let done = browser.post("/admin/login/", &fields).await;
    assert_eq!(done.status, StatusCode::FOUND, "{}", done.text());
    assert!(browser.get("/admin/").await.text().contains("Site administration"));
    // The admin's own style sheet comes from the edge.
    let css = login.text().split('"').find(|part| part.ends_with("base.css")).expect("a style sheet").to_owned();
    assert_eq!(browser.get(&css).await.status, StatusCode::OK, "{css}");
}

#[tokio::test]
async fn a_flask_project_is_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get('/')\ndef home():\n    return 'Hello from Flask'\n";
    fs::write(folder.path().join("app.py"), app).expect("written");
    fs::write(folder.path().join("requirements.txt"), "flask\n").expect("written");
    let _ = in_image(&worker_image(), folder.path(), "monodon-worker init");
    let stack = served("flask", folder.path());
    home(&stack, "Hello from Flask").await;
}
