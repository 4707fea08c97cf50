//! The server: a thread for each connection, which is kept for further requests.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use super::{Does, INDEX, KEY, Record, Seen, Shared};

/// Status and body of an answer.
struct Answer(u16, Value);

/// Serves until the program ends.
pub fn listen(listener: TcpListener, shared: Arc<Shared>) {
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let shared = shared.clone();
            // Clients that go away in the middle are part of the tests.
            thread::spawn(move || _ = converse(stream, number, &shared));
        }
    });
}

fn converse(mut stream: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(seen) = read_request(&mut reader, number)? {
        shared.lock().seen.push(seen.clone());
        match fault(shared, &seen.target) {
            Some(Does::Answer(status, header, body)) => reply(&mut stream, status, header, &body)?,
            Some(Does::Stall) => return reader.read(&mut [0]).map(drop),
            Some(Does::HangUp) => return Ok(()),
            None => {
                let Answer(status, body) = answer(shared, &seen);
                reply(&mut stream, status, "", &body.to_string())?;
            }
        }
    }
    Ok(())
}

fn fault(shared: &Shared, target: &str) -> Option<Does> {
    let mut state = shared.lock();
    let fault = state.faults.iter_mut().find(|fault| fault.times > 0 && target.starts_with(fault.at))?;
    fault.times -= 1;
    Some(fault.does.clone())
}

fn answer(shared: &Shared, seen: &Seen) -> Answer {
    let header = |name: &str| seen.headers.get(name).map(String::as_str).unwrap_or_default();
    if header("api-key") != KEY {
        return Answer(401, json!("Unauthorized"));
    }
    if header("x-pinecone-api-version") < "2025-01" {
        return problem("an old version of the API");
    }
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    match (seen.method.as_str(), path) {
        ("GET", path) if path.starts_with("/indexes/") => index(shared, &path["/indexes/".len()..]),
        ("POST", "/describe_index_stats") => stats(shared),
        ("POST", "/vectors/upsert") => upsert(shared, &body, seen.body.len()),
        ("POST", "/vectors/delete") => delete(shared, &body),
        ("POST", "/query") => find(shared, &body),
        ("GET", "/vectors/fetch") => fetch(shared, query),
        _ => Answer(404, json!({"code": 5, "message": "Not Found", "details": []})),
    }
}

fn problem(message: &str) -> Answer {
    Answer(400, json!({"code": 3, "message": message, "details": []}))
}

fn index(shared: &Shared, name: &str) -> Answer {
    match name {
        INDEX => Answer(200, shared.description()),
        _ => Answer(
            404,
            json!({"error": {"code": "NOT_FOUND", "message": format!("Resource {name} not found")}, "status": 404}),
        ),
    }
}

fn stats(shared: &Shared) -> Answer {
    let mut state = shared.lock();
    let hidden = usize::from(state.lag > 0);
    state.lag -= hidden;
    let counts: BTreeMap<_, _> = state
        .namespaces
        .iter()
        .map(|(name, records)| {
            (name.clone(), json!({"vectorCount": records.len() - hidden.min(records.len())}))
        })
        .collect();
    Answer(200, json!({"namespaces": counts, "dimension": shared.dimension, "indexFullness": 0}))
}

fn upsert(shared: &Shared, body: &Value, bytes: usize) -> Answer {
    let Some(vectors) = body["vectors"].as_array() else { return problem("no vectors") };
    if vectors.len() > 1000 || bytes > 2 << 20 {
        return problem("too large");
    }
    let mut records = BTreeMap::new();
    for vector in vectors {
        let values = numbers(&vector["values"]);
        if values.len() != shared.dimension {
            return problem("Vector dimension does not match the dimension of the index");
        }
        if vector["metadata"].to_string().len() > 40960 {
            return problem("Metadata size is too large");
        }
        let record = Record { values, metadata: vector["metadata"].clone() };
        records.insert(word(&vector["id"]), record);
    }
    shared.lock().namespaces.entry(word(&body["namespace"])).or_default().append(&mut records);
    Answer(200, json!({"upsertedCount": vectors.len()}))
}

fn delete(shared: &Shared, body: &Value) -> Answer {
    let there =
        body["deleteAll"] == true && shared.lock().namespaces.remove(&word(&body["namespace"])).is_some();
    match there {
        true => Answer(200, json!({})),
        false => Answer(404, json!({"code": 5, "message": "Namespace not found", "details": []})),
    }
}

fn find(shared: &Shared, body: &Value) -> Answer {
    let vector = numbers(&body["vector"]);
    if vector.len() != shared.dimension {
        return problem("Vector dimension does not match the dimension of the index");
    }
    let state = shared.lock();
    let records = state.namespaces.get(&word(&body["namespace"]));
    let score = |record: &Record| record.values.iter().zip(&vector).map(|(a, b)| a * b).sum::<f32>();
    let mut matches: Vec<_> = records.into_iter().flatten().map(|(id, record)| (id, score(record))).collect();
    matches.sort_by(|a, b| b.1.total_cmp(&a.1));
    matches.truncate(body["topK"].as_u64().unwrap_or(10) as usize);
    let matches: Vec<_> =
        matches.iter().map(|(id, score)| json!({"id": id, "score": score, "values": []})).collect();
    Answer(200, json!({"matches": matches, "namespace": body["namespace"], "usage": {"readUnits": 6}}))
}

fn fetch(shared: &Shared, query: &str) -> Answer {
    let values = |name: &'static str| {
        query.split('&').filter_map(move |part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let namespace = values("namespace").next().unwrap_or_default();
    let state = shared.lock();
    let records = state.namespaces.get(namespace);
    let record = |id: &str| {
        let record = records?.get(id)?;
        Some((id.to_owned(), json!({"id": id, "values": record.values, "metadata": record.metadata})))
    };
    let found: serde_json::Map<_, _> = values("ids").filter_map(record).collect();
    Answer(200, json!({"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}))
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(|number| Some(number.as_f64()? as f32)).collect()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reply(stream: &mut TcpStream, status: u16, header: &str, body: &str) -> io::Result<()> {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{header}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())
}

fn read_request(reader: &mut impl BufRead, connection: usize) -> io::Result<Option<Seen>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Seen { method, target, headers, body, connection }))
}
