//! What pgvector's store refuses, and that no refusal shows the password.

use ctxbench::retrieval::store::pgvector::{PgAddress, PgVectorStore};
use ctxbench::retrieval::{RetrievalError, VectorStore};

use super::common::postgres::{PASSWORD, Server, client, free_port};
use super::rows::{fill, identity, rows};

fn store(url: &str) -> PgVectorStore {
    PgVectorStore::new(PgAddress::parse(url).expect("the address is well formed"))
}

/// The sentence has all `words`, and not the password.
fn assert_says<T>(result: Result<T, RetrievalError>, words: &[&str]) {
    let error = result.err().expect("it is refused");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    for word in words {
        assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
    }
}

#[test]
fn a_table_that_is_not_ours_is_left_as_it_is() {
    let Some(server) = Server::shared() else { return };
    let url = server.new_database();
    let mut beside = client(&url);
    beside.batch_execute("CREATE EXTENSION vector; CREATE SCHEMA ctxbench").unwrap();
    beside
        .batch_execute("CREATE TABLE ctxbench.chunks (mine text); INSERT INTO ctxbench.chunks VALUES ('x')")
        .unwrap();
    let words =
        ["ctxbench.\"chunks\"", "was not made by ctxbench", "no column 'embedding'", "rename or drop"];
    assert_says(store(&url).open(&identity('a', 5)), &words);
    beside.batch_execute("ALTER TABLE ctxbench.chunks ADD embedding vector(3)").unwrap();
    assert_says(store(&url).open(&identity('a', 5)), &["is a vector(3), where vector(24) is needed"]);
    assert_eq!(beside.query("SELECT mine FROM ctxbench.chunks", &[]).unwrap().len(), 1);
}

#[test]
fn vectors_of_another_length_are_refused() {
    let Some(server) = Server::shared() else { return };
    let url = server.new_database();
    let mut store = store(&url);
    let mut rows = rows(5);
    fill(&mut store, 'a', &rows);
    assert_says(store.search(&[1.0], 3), &["has 1 numbers", "vectors of 24"]);
    assert_says(store.search_exact(&[1.0; 25], 3), &["has 25 numbers"]);
    store.open(&identity('b', 5)).unwrap();
    rows[3].vector.pop();
    assert_says(store.add(&rows), &["has 23 numbers"]);
    let mut changed = client(&url);
    changed.batch_execute("ALTER TABLE ctxbench.chunks ALTER embedding TYPE vector(3)").unwrap();
    assert_says(store.open(&identity('b', 5)), &["'vector(3)'", "vector(24)", "somebody changed it"]);
    let mut long = identity('c', 5);
    long.dimensions = 2001;
    assert_says(store.open(&long), &["2001 numbers", "1 to 2000"]);
}

#[test]
fn more_chunks_than_the_index_can_find_are_refused() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(5));
    let mut store = store(&url);
    assert_says(store.search(&rows[0].vector, 3), &["before it was opened"]);
    fill(&mut store, 'a', &rows);
    assert_says(store.search(&rows[0].vector, 1001), &["at most 1000", "1001"]);
    assert_eq!(store.search(&rows[0].vector, 1000).unwrap().len(), 5);
}

#[test]
fn a_server_that_dies_in_the_middle_is_an_error_in_every_call() {
    let Some(server) = Server::start() else { return };
    let (url, rows) = (server.new_database(), rows(20));
    let mut store = store(&url);
    fill(&mut store, 'a', &rows);
    store.search(&rows[0].vector, 3).unwrap();
    server.kill();
    let words = ["was lost", "127.0.0.1", "start again"];
    assert_says(store.search(&rows[0].vector, 3), &words);
    assert_says(store.search(&rows[0].vector, 3), &words);
    assert_says(store.search_exact(&rows[0].vector, 3), &words);
    assert_says(store.fetch(&[1]), &words);
    assert_says(store.add(&[]), &words);
    assert_says(store.size_bytes(), &words);
    assert_says(store.open(&identity('a', 20)), &["no connection", "127.0.0.1"]);
}

#[test]
fn a_server_that_is_not_there_is_named_without_the_password() {
    let port = free_port();
    let url = format!("postgresql://tester:{PASSWORD}@127.0.0.1:{port}/kb");
    let place = format!("127.0.0.1:{port}/kb");
    assert_says(store(&url).open(&identity('a', 5)), &["no connection", &place, "refused"]);
}

#[test]
fn wrong_user_password_and_database_are_told() {
    let Some(server) = Server::shared() else { return };
    let port = server.port();
    let wrong = format!("postgresql://tester:wrong-{PASSWORD}@127.0.0.1:{port}/postgres");
    assert_says(store(&wrong).open(&identity('a', 5)), &["does not accept this user or password"]);
    let unknown = server.url("nowhere");
    assert_says(store(&unknown).open(&identity('a', 5)), &["refused the connection", "nowhere"]);
}

#[test]
fn an_extension_that_is_missing_or_too_old_is_told() {
    let Some(server) = Server::shared() else { return };
    let url = server.new_database();
    let plain = url.replace("tester:", "plain:");
    client(&url).batch_execute(&format!("CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    let words = ["has no pgvector", "permission denied", "CREATE EXTENSION vector"];
    assert_says(store(&plain).open(&identity('a', 5)), &words);
    client(&url).batch_execute("CREATE EXTENSION vector").unwrap();
    let words = ["making the schema 'ctxbench' was refused", "needs the right"];
    assert_says(store(&plain).open(&identity('a', 5)), &words);
    client(&url).batch_execute("CREATE SCHEMA ctxbench AUTHORIZATION plain").unwrap();
    fill(&mut store(&plain), 'a', &rows(5));
    client(&url)
        .batch_execute("UPDATE pg_extension SET extversion = '0.4.4' WHERE extname = 'vector'")
        .unwrap();
    assert_says(store(&url).open(&identity('a', 5)), &["pgvector 0.4.4", "0.5.0 or later"]);
}

#[test]
fn a_second_run_on_the_same_table_is_told_to_wait() {
    let Some(server) = Server::shared() else { return };
    let url = server.new_database();
    let mut first = store(&url);
    fill(&mut first, 'a', &rows(5));
    assert_says(store(&url).open(&identity('b', 5)), &["another run of ctxbench", "wait"]);
    drop(first);
    assert_eq!(store(&url).open(&identity('a', 5)).unwrap(), 5);
}
