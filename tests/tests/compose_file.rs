//! The compose file itself: valid in every profile, and as closed as the design says.

use std::process::Command;

use monodon_tests::{root, stack::text};
use serde_json::Value;

fn config(arguments: &[&str]) -> Value {
    let done = Command::new("docker")
        .args(["compose", "--file", "compose.yaml"])
        .args(arguments)
        .args(["config", "--format", "json"])
        .current_dir(root())
        .output()
        .expect("docker is there");
    assert!(done.status.success(), "{}", text(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

#[test]
fn every_profile_is_valid() {
    for profiles in [&[][..], &["--profile", "data"], &["--profile", "monitoring"], &["--profile", "*"]] {
        let _ = config(profiles);
    }
    let _ = config(&["--file", "compose.test.yaml"]);
}

#[test]
fn our_services_run_confined() {
    let config = config(&[]);
    for name in ["edge", "worker", "release", "sidecar", "agent"] {
        let service = &config["services"][name];
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
        for limit in ["mem_limit", "pids_limit", "logging"] {
            assert!(!service[limit].is_null(), "{name} has no {limit}");
        }
        assert!(service["container_name"].is_null(), "{name}: a container name would stop it from scaling");
        assert_ne!(service["privileged"], true, "{name}");
    }
}

#[test]
fn only_the_edge_is_published_to_the_world() {
    let config = config(&["--profile", "*"]);
    for (name, service) in config["services"].as_object().expect("services") {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(name == "edge" || port["host_ip"] == "127.0.0.1", "{name} is published: {port}");
        }
    }
}

#[test]
fn the_engines_socket_and_a_network_are_never_in_one_container() {
    let config = config(&["--profile", "*"]);
    for (name, service) in config["services"].as_object().expect("services") {
        let socket = service["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|volume| volume["target"] == "/var/run/docker.sock");
        assert_eq!(socket, name == "agent", "{name}");
    }
    assert_eq!(config["services"]["agent"]["network_mode"], "none");
    assert_eq!(config["networks"]["mesh"]["internal"], true);
}

/// Stopping must outlast draining: else the engine kills what the service would still finish.
#[test]
fn stop_grace_periods_exceed_the_drain_times() {
    let config = config(&[]);
    for name in ["edge", "worker"] {
        assert_eq!(
            config["services"][name]["stop_grace_period"], "45s",
            "{name}: shutdown delay 0 s and graceful timeout 30 s"
        );
    }
}

/// What reads the edge's admin port is told its token.
#[test]
fn the_admin_token_reaches_those_who_ask() {
    let config = |token: &str| {
        let done = Command::new("docker")
            .args(["compose", "--file", "compose.yaml", "--profile", "monitoring", "config", "--format", "json"])
            .env("MONODON_EDGE_ADMIN_TOKEN", token)
            .current_dir(root())
            .output()
            .expect("docker is there");
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).expect("JSON")
    };
    let told = config("open sesame");
    assert_eq!(told["services"]["edge"]["environment"]["MONODON_EDGE_ADMIN_TOKEN"], "open sesame");
    assert_eq!(told["services"]["sidecar"]["environment"]["MONODON_SIDECAR_ADMIN_TOKEN"], "open sesame");
    let secrets = told["services"]["prometheus"]["secrets"].as_array().expect("secrets");
    let name = secrets.iter().find_map(|secret| secret["source"].as_str()).expect("a secret");
    let scraping = std::fs::read_to_string(root().join("docker/prometheus/prometheus.yml")).expect("its configuration");
    assert!(scraping.contains(&format!("credentials_file: /run/secrets/{name}")), "{name}");
    assert_eq!(config("")["services"]["sidecar"]["environment"]["MONODON_SIDECAR_ADMIN_TOKEN"], "", "none");
}
