//! What pgvector keeps and finds.

use ctxbench::retrieval::VectorStore;
use ctxbench::retrieval::store::pgvector::{PgAddress, PgVectorStore};

use super::common::postgres::{Server, client};
use super::rows::{assert_same, fill, identity, nearest, rows, text, vectors};

fn store(url: &str) -> PgVectorStore {
    PgVectorStore::new(PgAddress::parse(url).expect("the address is well formed"))
}

#[test]
fn what_went_in_is_found_in_order_with_its_scores_and_texts() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(400));
    let mut store = store(&url);
    fill(&mut store, 'a', &rows);
    for question in vectors(5, 99) {
        let expected = nearest(&rows, &question, 10);
        assert_same(&store.search_exact(&question, 10).unwrap().unwrap(), &expected);
        assert_same(&store.search(&question, 10).unwrap(), &expected);
    }
    assert_eq!(store.fetch(&[399, 0, 7, 0]).unwrap(), [text(399), text(0), text(7), text(0)]);
    assert_eq!(store.fetch(&[]).unwrap(), [""; 0]);
    assert_eq!(store.search(&rows[0].vector, 0).unwrap(), []);
    let missing = store.fetch(&[1, 400]).unwrap_err().to_string();
    assert!(missing.contains("chunk 400 is not in"), "{missing}");
    assert!(store.size_bytes().unwrap().unwrap() > 400 * 24 * 4);
    assert_eq!(store.extension_version(), Some("0.6.2"));
    assert_eq!(store.kind(), "pgvector");
}

#[test]
fn the_index_finds_nearly_all_and_the_exact_search_does_not_use_it() {
    let Some(server) = Server::shared() else { return };
    let (url, rows, k) = (server.new_database(), rows(3000), 10);
    let mut store = store(&url);
    fill(&mut store, 'a', &rows);
    let scans = || {
        let query = "SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelname = 'chunks_hnsw'";
        let flush = "SELECT pg_stat_clear_snapshot()";
        let mut beside = client(&url);
        beside.execute(flush, &[]).unwrap();
        beside.query_one(query, &[]).unwrap().get::<_, i64>(0)
    };
    let (mut found, questions) = (0, vectors(20, 99));
    for question in &questions {
        let exact = store.search_exact(question, k).unwrap().unwrap();
        assert_same(&exact, &nearest(&rows, question, k));
        let hits = store.search(question, k).unwrap();
        assert!(hits.len() == k && hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        found += hits.iter().filter(|hit| exact.iter().any(|other| other.chunk == hit.chunk)).count();
    }
    assert!(found * 100 >= 95 * k * questions.len(), "recall {found} of {}", k * questions.len());
    // A session tells its counts when it ends.
    drop(store);
    let told = (0..2000).map(|_| scans()).find(|scans| *scans > 0);
    assert_eq!(told, Some(questions.len() as i64));
}

#[test]
fn a_store_cut_off_in_the_middle_goes_on_where_it_was() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(300));
    let mut first = store(&url);
    assert_eq!(first.open(&identity('a', 300)).unwrap(), 0);
    first.add(&rows[..120]).unwrap();
    let early = first.finish().unwrap_err().to_string();
    assert!(early.contains("120 of 300"), "{early}");
    drop(first);
    let mut second = store(&url);
    assert_eq!(second.open(&identity('a', 300)).unwrap(), 120);
    let gap = second.add(&rows[121..]).unwrap_err().to_string();
    assert!(gap.contains("chunk 121") && gap.contains("chunk 120 comes next"), "{gap}");
    second.add(&rows[120..]).unwrap();
    second.finish().unwrap();
    second.finish().unwrap();
    assert_eq!(second.open(&identity('a', 300)).unwrap(), 300);
    assert_same(&second.search(&rows[250].vector, 3).unwrap(), &nearest(&rows, &rows[250].vector, 3));
}

#[test]
fn vectors_come_back_as_they_were_added() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(200));
    let mut store = store(&url);
    assert!(store.vectors(1).is_err(), "it is not open");
    fill(&mut store, 'a', &rows);
    let added = |count: usize| rows[..count].iter().map(|row| row.vector.clone()).collect::<Vec<_>>();
    for (count, expected) in [(0, 0), (3, 3), (200, 200), (u64::MAX, 200)] {
        assert_eq!(store.vectors(count).unwrap(), Some(added(expected)));
    }
}

#[test]
fn a_batch_that_the_server_refuses_leaves_nothing_behind() {
    let Some(server) = Server::shared() else { return };
    let (url, mut rows) = (server.new_database(), rows(20));
    let mut store = store(&url);
    store.open(&identity('a', 20)).unwrap();
    rows[15].text = "PostgreSQL keeps no \0 in a text".into();
    let refused = store.add(&rows).unwrap_err().to_string();
    assert!(refused.contains("storing rows"), "{refused}");
    rows[15].text = String::new();
    store.add(&rows).unwrap();
    assert_eq!(store.open(&identity('a', 20)).unwrap(), 20);
}

#[test]
fn another_index_takes_the_place_and_rows_with_a_gap_are_dropped() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(50));
    let mut store = store(&url);
    fill(&mut store, 'a', &rows);
    assert_eq!(store.open(&identity('b', 50)).unwrap(), 0);
    assert_eq!(store.open(&identity('a', 50)).unwrap(), 0, "the older one is gone");
    fill(&mut store, 'a', &rows);
    client(&url).execute("DELETE FROM ctxbench.chunks WHERE chunk = 20", &[]).unwrap();
    assert_eq!(store.open(&identity('a', 50)).unwrap(), 0);
}

#[test]
fn indexes_with_a_table_each_stand_side_by_side() {
    let Some(server) = Server::shared() else { return };
    let (url, rows) = (server.new_database(), rows(60));
    let mut small = store(&url).in_table("chunks_small").unwrap();
    let mut large = store(&url).in_table("chunks_large").unwrap().with_ef_search(200);
    fill(&mut small, 'a', &rows[..10]);
    fill(&mut large, 'b', &rows);
    assert_eq!(small.search(&rows[0].vector, 20).unwrap().len(), 10);
    assert_eq!(large.search(&rows[0].vector, 20).unwrap().len(), 20);
}

#[test]
fn a_server_is_reached_through_its_socket_too() {
    let Some(server) = Server::shared() else { return };
    let mut store = store(&server.socket_url("postgres"));
    fill(&mut store, 'a', &rows(5));
    assert_eq!(store.fetch(&[4]).unwrap(), [text(4)]);
}
