//! What needs shorter limits than the program's own: stalls, and errors that go on for all tries.

use std::path::Path;
use std::time::Duration;

use ctxbench::hub::{FetchEvent, Hub, HubError, HubOptions, Limits, LocalFile, Recheck, Snapshot};

use crate::place::{Place, REPO, model_files};
use crate::stand_in_hub::{Does, Fault, Place as At, StandInHub};

const WEIGHTS: &str = "model.safetensors";

fn options(hub: &StandInHub, place: &Place) -> HubOptions {
    let (endpoint, cache) = (hub.endpoint(), place.cache().display().to_string());
    let lookup = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.clone()),
        "HF_HUB_CACHE" => Some(cache.clone()),
        _ => None,
    };
    let limits = Limits {
        stall: Duration::from_millis(300),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        probe: Duration::from_millis(500),
        ..Limits::default()
    };
    HubOptions { limits, ..HubOptions::from_lookup(&lookup).expect("the lookup names a cache") }
}

fn fetch(options: HubOptions) -> Result<(Snapshot, Vec<LocalFile>, Vec<String>), HubError> {
    let hub = Hub::new(options)?;
    let snapshot = hub.resolve(REPO, None)?;
    let mut events = Vec::new();
    let mut note = |event: FetchEvent<'_>| {
        if !matches!(event, FetchEvent::Received { .. }) {
            events.push(format!("{event:?}"));
        }
    };
    let files = hub.fetch(&snapshot, &[WEIGHTS.to_string()], &mut note)?;
    Ok((snapshot, files, events))
}

/// The error of a fetch with this fault at all times.
fn error(at: At, does: Does, limits: impl Fn(&mut Limits)) -> (HubError, usize) {
    let (hub, place) = (StandInHub::start(model_files(), vec![Fault::always(at, does)]), Place::new());
    let mut options = options(&hub, &place);
    limits(&mut options.limits);
    let error = fetch(options).expect_err("it is always at fault");
    place.assert_absent(&model_files()[3]);
    (error, hub.transfers(WEIGHTS).len())
}

#[test]
fn a_stall_is_resumed_where_it_began() {
    let fault = Fault::once(At::Content(WEIGHTS), Does::Stall(1000));
    let (hub, place) = (StandInHub::start(model_files(), vec![fault]), Place::new());
    let (_, files, events) = fetch(options(&hub, &place)).unwrap();
    assert_eq!(std::fs::read(&files[0].path).unwrap(), model_files()[3].content);
    assert!(
        events.iter().any(|event| event.starts_with("Retrying") && event.contains("Stalled")),
        "{events:?}"
    );
    assert_eq!(hub.transfers(WEIGHTS)[1].header("range"), Some("bytes=1000-"));
}

#[test]
fn a_hub_that_never_answers_is_said_to_stall() {
    let (error, _) = error(At::Info, Does::Stall(0), |limits| limits.tries = 2);
    assert!(matches!(error, HubError::Stalled { .. }), "{error:?}");
    assert!(error.to_string().contains("sent nothing for 300ms"), "{error}");
}

#[test]
fn a_fetch_without_progress_is_given_up_in_time() {
    let limits = |limits: &mut Limits| {
        limits.tries = 1000;
        limits.no_progress = Duration::from_millis(900);
        limits.connect = Duration::from_millis(150);
    };
    let (error, _) = error(At::Content(WEIGHTS), Does::Stall(0), limits);
    assert!(matches!(&error, HubError::NoProgress { waited, .. } if waited.as_millis() <= 1000), "{error:?}");
    assert!(error.is_unreachable() && error.to_string().contains("gave up after"), "{error}");
}

#[test]
fn the_same_first_bytes_again_and_again_are_no_progress() {
    let (error, transfers) = error(At::Content(WEIGHTS), Does::CutChunked(5), |_| ());
    assert!(matches!(error, HubError::Truncated { got: 5, .. }), "{error:?}");
    assert_eq!(transfers, 6);
}

#[test]
fn faults_of_the_server_are_retried_and_refusals_are_not() {
    let (broken, transfers) = error(At::Content(WEIGHTS), Does::Answer(500, &[]), |_| ());
    assert!(matches!(broken, HubError::ServerFault { status: 500, .. }), "{broken:?}");
    assert_eq!(transfers, 6);
    let (absent, transfers) = error(At::Content(WEIGHTS), Does::Answer(418, &[]), |_| ());
    assert!(matches!(absent, HubError::UnexpectedStatus { status: 418, .. }), "{absent:?}");
    assert_eq!(transfers, 1);
}

#[test]
fn a_hub_is_probed_within_its_limit() {
    let hub = StandInHub::start(vec![], vec![]);
    let place = Place::new();
    let probe = |change: &dyn Fn(&mut HubOptions)| {
        let mut options = options(&hub, &place);
        change(&mut options);
        Hub::new(options).unwrap().reachable()
    };
    assert!(probe(&|_| ()).is_ok());
    assert!(matches!(probe(&|o| o.offline = true), Err(HubError::Offline)));
    let closed = probe(&|o| o.endpoint = "http://127.0.0.1:1".into());
    assert!(matches!(closed, Err(HubError::Unreachable { .. })), "{closed:?}");
    // A server that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let stalled = probe(&|o| o.endpoint = endpoint.clone());
    assert!(stalled.unwrap_err().is_unreachable());
}

#[test]
fn a_verified_file_is_not_hashed_again_unless_asked_or_changed() {
    let (hub, place) = (StandInHub::start(model_files(), vec![]), Place::new());
    fetch(options(&hub, &place)).unwrap();
    let blob = place.blob(&model_files()[3]);
    let modified = std::fs::metadata(&blob).unwrap().modified().unwrap();
    let restore = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(modified).unwrap();
    };
    // The same size and time, other bytes: only a full check finds that.
    std::fs::write(&blob, vec![0; 1 << 20]).unwrap();
    restore(&blob);
    let (_, _, events) = fetch(options(&hub, &place)).unwrap();
    assert!(events[0].starts_with("Cached"), "{events:?}");
    let always = HubOptions { recheck: Recheck::Always, ..options(&hub, &place) };
    let (_, _, events) = fetch(always).unwrap();
    assert!(events[0].starts_with("Discarded"), "{events:?}");
    place.assert_nothing_bad();
}

#[test]
fn an_empty_file_needs_no_transfer() {
    let mut files = model_files();
    files[3].content.clear();
    let (hub, place) = (StandInHub::start(files, vec![]), Place::new());
    let (snapshot, files, _) = fetch(options(&hub, &place)).unwrap();
    assert_eq!((files[0].bytes, snapshot.license.as_deref()), (0, Some("apache-2.0")));
    assert!(hub.transfers(WEIGHTS).is_empty());
}
