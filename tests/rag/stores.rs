//! The experiment on a real PostgreSQL.

#![cfg(unix)]

use serde_json::json;

use crate::common::postgres::{PASSWORD, Server};
use crate::experiment::{case, rag, report};
use crate::place::{Place, list};

#[test]
fn the_whole_experiment_runs_on_pgvector_and_finds_its_index_again() {
    let Some(server) = Server::shared() else { return };
    let place = Place::new();
    let catalog = place.catalog("", "");
    let store = format!("pgvector={}", server.new_database());
    let args =
        ["tiny", "--weights", "random", "--embedder", "stand-in", "--catalog", &catalog, "--store", &store];
    rag(&place, &args).assert_done();
    let first = report(&place, "out");
    for file in ["report.json", "report.md", "report.html"] {
        let text = std::fs::read_to_string(place.path("out").join(file)).unwrap();
        assert!(!text.contains(PASSWORD), "{file} has the password");
    }
    assert!(first["command"].to_string().contains("pgvector=127.0.0.1"), "{}", first["command"]);
    let retrieval = &first["retrieval"];
    assert_eq!((&retrieval["store"], &retrieval["index_reused"]), (&json!("pgvector"), &json!(false)));
    assert!(retrieval["recall_at_10"].as_f64().unwrap() > 0.9 && retrieval["index_bytes"].as_u64() > Some(0));
    assert_eq!(list(&case(&first, "rag")["samples"]).len(), 3);
    rag(&place, &args).assert_done();
    assert_eq!(report(&place, "out")["retrieval"]["index_reused"], true);
}
