//! By what route a peer is reached: straight, by a proxy (HTTP CONNECT), or as the environment says. The TLS inside is
//! the same on each.

use std::error::Error;

/// Straight, unless something else is said: no environment variable redirects an agent.
#[derive(Clone, Debug, Default)]
pub enum Route {
    #[default]
    Direct,
    Proxy(Proxy),
    /// `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as people expect of a command line.
    Environment,
}

/// A proxy that is spoken to in plain HTTP: what goes through it is TLS.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Such as `http://proxy.example:3128`.
    pub url: String,
    pub login: Option<Login>,
}

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a log-in)")
    }
}

impl Route {
    pub(super) fn set(&self, builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::ClientBuilder> {
        Ok(match self {
            Self::Direct => builder.no_proxy(),
            Self::Environment => builder,
            Self::Proxy(Proxy { url, login }) => {
                let proxy = reqwest::Proxy::https(url)?;
                // First: it drops those set before.
                builder.no_proxy().proxy(match login {
                    Some(Login { user, password }) => proxy.basic_auth(user, password),
                    None => proxy,
                })
            }
        })
    }

    /// Why a proxy is to blame, and what to do; `None` where none is.
    pub(super) fn failed(&self, error: &reqwest::Error) -> Option<String> {
        let (proxy, login_place, has_login) = match self {
            Self::Direct => return None,
            Self::Environment => {
                ("the proxy that HTTPS_PROXY names".to_owned(), "HTTPS_PROXY: http://user:password@…", false)
            }
            Self::Proxy(Proxy { url, login }) => (
                format!("the proxy {url}"),
                "the file that proxy_login_file in agent.toml names: user:password, mode 0600",
                login.is_some(),
            ),
        };
        if error.is_connect() && error.is_timeout() {
            return Some(format!(
                "by {proxy} nobody answered in time; next: look at the proxy, then at the peer"
            ));
        }
        // The type behind these words is not public.
        Some(match tunnel_error(error)?.as_str() {
            "proxy authorization required" if has_login => {
                format!("{proxy} refuses the log-in; next: correct {login_place}")
            }
            "proxy authorization required" => {
                format!("{proxy} wants a log-in; next: put one into {login_place}")
            }
            "failed to create underlying connection" => {
                format!(
                    "{proxy} was not reached: {}; next: correct its address, or look at it",
                    innermost(error)
                )
            }
            "unsuccessful" => {
                format!("{proxy} does not let us through; next: have CONNECT to this port allowed there")
            }
            _ => format!("{proxy} broke off: {}", innermost(error)),
        })
    }
}

fn tunnel_error(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        if let Some(what) = error.to_string().strip_prefix("tunnel error: ") {
            return Some(what.to_owned());
        }
        next = error.source();
    }
    None
}

/// The innermost cause: reqwest and rustls wrap it in sentences that say nothing.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    text.strip_prefix("unexpected error: ").map(str::to_owned).unwrap_or(text)
}
