//! Names to all their addresses, anew each time: the engine's DNS says ten minutes, and replicas come and go in seconds.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;

pub struct Resolver {
    resolver: Result<TokioResolver, String>,
}

impl Resolver {
    pub fn system() -> Resolver {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.cache_size = 0;
            options.timeout = Duration::from_secs(1);
            options.attempts = 1;
            // A replica with both families is still one replica.
            options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
            builder.build()
        });
        Resolver { resolver: resolver.map_err(|error| format!("DNS is not configured: {error}")) }
    }

    pub async fn resolve(&self, host: &str, patience: Duration) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if host == "localhost" {
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        let resolver = self.resolver.as_ref().map_err(String::clone)?;
        match tokio::time::timeout(patience, resolver.lookup_ip(host)).await {
            Ok(Ok(found)) => {
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                addresses.sort_unstable();
                addresses.dedup();
                Ok(addresses)
            }
            Ok(Err(error)) if error.is_no_records_found() || error.is_nx_domain() => {
                Err(format!("{host} has no address: its container does not run"))
            }
            Ok(Err(error)) => Err(format!("{host} cannot be resolved: {error}")),
            Err(_) => Err(format!("{host} cannot be resolved: no answer within {patience:?}")),
        }
    }
}
