//! Names to addresses, again and again: the engine's DNS says TTL 600 and means seconds, so the TTL is not looked at.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

/// The answer to one question.
pub type Answer<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Where names are looked up. A trait so that tests can move an upstream.
pub trait Resolve: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str) -> Answer<'a>;
}

/// The system's name servers and hosts file, asked without a cache.
#[derive(Default)]
pub struct System(Mutex<Option<TokioResolver>>);

impl System {
    fn resolver(&self) -> io::Result<TokioResolver> {
        let mut made = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(resolver) = &*made {
            return Ok(resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = Duration::from_secs(1);
        options.attempts = 2;
        // A container with both families is still one worker: its slots must not count twice.
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        let resolver = builder.build().map_err(io::Error::other)?;
        *made = Some(resolver.clone());
        Ok(resolver)
    }
}

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str) -> Answer<'a> {
        Box::pin(async move {
            if host.eq_ignore_ascii_case("localhost") {
                return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
            }
            let found = self.resolver()?.lookup_ip(host).await.map_err(io::Error::other)?;
            Ok(found.iter().collect())
        })
    }
}
