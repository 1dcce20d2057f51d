//! `worker_class`: gunicorn's names, ours, and what to say of those that are neither.

/// `Err` says what to use instead.
pub fn check(name: &str) -> Result<(), String> {
    let short = name.rsplit('.').next().unwrap_or(name);
    let threads = "use `threads`: each request that waits holds a thread, and a process may have hundreds";
    Err(match (name, short) {
        ("sync" | "gthread" | "", _) => return Ok(()),
        (_, "SyncWorker" | "ThreadWorker") if name.starts_with("gunicorn.") => return Ok(()),
        ("gevent" | "gevent_wsgi" | "gevent_pywsgi" | "eventlet", _)
        | (_, "GeventWorker" | "GeventPyWSGIWorker" | "EventletWorker") => {
            format!("{name:?} runs greenlets, which need every library patched; {threads}")
        }
        ("tornado", _) | (_, "TornadoWorker") => {
            format!("{name:?} runs tornado's loop; serve a WSGI application, or run tornado by itself")
        }
        ("asgi", _) | (_, "ASGIWorker" | "UvicornWorker" | "UvicornH11Worker" | "HypercornWorker") => {
            format!("{name:?} serves ASGI applications, which this version does not yet; give the WSGI application")
        }
        ("meinheld" | "egg:meinheld#gunicorn_worker", _) | (_, "MeinheldWorker") => {
            format!("{name:?} is a server of its own; leave `worker_class` out, this worker is as quick")
        }
        _ => format!(
            "{name:?} is a class of gunicorn's workers, of which there are none here; leave it out, or say sync"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn gunicorns_names_are_ours_or_are_explained() {
        for name in ["sync", "gthread", "gunicorn.workers.sync.SyncWorker", "gunicorn.workers.gthread.ThreadWorker"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, part) in [
            ("gevent", "threads"),
            ("gunicorn.workers.ggevent.GeventWorker", "threads"),
            ("eventlet", "threads"),
            ("tornado", "tornado"),
            ("uvicorn.workers.UvicornWorker", "ASGI"),
            ("uvicorn_worker.UvicornWorker", "ASGI"),
            ("gunicorn.workers.gasgi.ASGIWorker", "ASGI"),
            ("mine.Worker", "leave it out"),
        ] {
            assert!(check(name).is_err_and(|words| words.contains(part)), "{name}");
        }
    }
}
