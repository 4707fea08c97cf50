//! Where a PostgreSQL server is and who asks, without ever showing the password.

use std::fmt;
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};

use crate::retrieval::RetrievalError;

/// Longest wait for a connection, and for a server that no longer confirms what was sent.
const CONNECT: Duration = Duration::from_secs(10);
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// A server, a database and a user. `Display` and `Debug` show `host:port/database` alone.
#[derive(Clone)]
pub struct PgAddress {
    /// Boxed: it is large, and a choice of store holds it.
    config: Box<Config>,
    shown: String,
}

impl PgAddress {
    /// Reads `postgresql://user:password@host:port/database` or `host=... dbname=...`.
    ///
    /// Errors if it is neither, names no host, or asks for TLS; no part of a wrong address is repeated, since any
    /// part may be a password.
    pub fn parse(url: &str) -> Result<Self, RetrievalError> {
        let lower = url.to_ascii_lowercase();
        if lower.contains("sslmode=verify") {
            return Err(no_tls());
        }
        if has_bare_at(url) {
            return Err(malformed());
        }
        let mut config: Config = url.parse().map_err(|_| malformed())?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(no_tls());
        }
        let Some(shown) = shown(&config) else { return Err(malformed()) };
        config.ssl_mode(SslMode::Disable).application_name("ctxbench");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNCONFIRMED);
        }
        Ok(Self { config: Box::new(config), shown })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

/// A password with an unescaped `@` would be cut there, and its rest shown as the host.
fn has_bare_at(url: &str) -> bool {
    let place = url.split('?').next().unwrap_or_default();
    url.contains("://") && place.matches('@').count() > 1
}

/// `host:port/database`; `None` without a host, or with one that is none.
fn shown(config: &Config) -> Option<String> {
    let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        #[cfg(unix)]
        (Some(Host::Unix(folder)), _) => folder.display().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => return None,
    };
    let plain = |c: char| c.is_alphanumeric() || "._-:/".contains(c);
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("its default database");
    (!host.is_empty() && host.chars().all(plain)).then(|| format!("{host}:{port}/{database}"))
}

fn malformed() -> RetrievalError {
    RetrievalError::Store(
        "the address of the pgvector store is not one that PostgreSQL clients understand; write \
         pgvector=postgresql://USER:PASSWORD@HOST:PORT/DATABASE or 'pgvector=host=HOST dbname=DATABASE user=USER', \
         with special characters of the password percent-encoded (@ is %40)"
            .into(),
    )
}

fn no_tls() -> RetrievalError {
    RetrievalError::Store(
        "the address of the pgvector store asks for TLS, which ctxbench does not speak; take sslmode=... out of it \
         where the way to the server is trusted (this machine, a private network), or open a tunnel (ssh -L) and \
         name its end"
            .into(),
    )
}

impl fmt::Display for PgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgAddress({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_password_and_options() {
        let shown = |url: &str| PgAddress::parse(url).unwrap().to_string();
        assert_eq!(shown("postgres://me:hunter2@db.example:5433/kb?connect_timeout=3"), "db.example:5433/kb");
        assert_eq!(shown("postgresql://me:h%40nter2@db.example/kb"), "db.example:5432/kb");
        assert_eq!(shown("host=/run/pg port=1 user=me password='hunter 2'"), "/run/pg:1/me");
        assert_eq!(shown("hostaddr=127.0.0.1 dbname=kb"), "127.0.0.1:5432/kb");
        let debug = format!("{:?}", PgAddress::parse("postgres://me:hunter2@db/kb").unwrap());
        assert_eq!(debug, "PgAddress(db:5432/kb)");
    }

    #[test]
    fn tls_is_refused_with_a_way_out() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let error = PgAddress::parse(&format!("postgres://me:hunter2@db/kb?sslmode={mode}")).unwrap_err();
            assert!(error.to_string().contains("does not speak"), "{mode}: {error}");
        }
        assert!(PgAddress::parse("postgres://me:hunter2@db/kb?sslmode=prefer").is_ok());
    }

    #[test]
    fn no_part_of_a_wrong_address_is_repeated() {
        let wrong = [
            "hunter2",
            "postgres://me:hunt@hunter2@db/kb",
            "postgres://me:hunt@hunter2/x@db/kb",
            "postgres://me:hunt@hunter2?x@db/kb",
            "postgres://me:x@db:hunter2/kb",
            "postgres://me:x@db/kb?hunter2=1",
            "host=db password=x hunter2",
            "host=db port=hunter2",
            "host='hunter2@db'",
            "user=me password=hunter2",
            "postgres:///hunter2",
            "mysql://me:hunter2@db/kb",
        ];
        for url in wrong {
            let error = PgAddress::parse(url).unwrap_err().to_string();
            assert!(error.contains("postgresql://USER") && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
