//! The service's place among the balancer's endpoints, held for as long as the stream is.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uait_gen::intelligent_load_balancer::v1::balancer_service_client::BalancerServiceClient;
use uait_gen::intelligent_load_balancer::v1::register_endpoint_request::Action;
use uait_gen::intelligent_load_balancer::v1::{Endpoint, RegisterEndpointRequest, RegisterEndpointResponse};

use super::Meter;
use crate::config::Config;
use crate::dial::Mesh;
use crate::serve::turned;

const BACKOFF_LEAST: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// How long the balancer may take to see that the lease is withdrawn.
const WITHDRAWAL: Duration = Duration::from_secs(2);
/// Guards against a balancer that grants leases of no length.
const RENEWAL_LEAST: Duration = Duration::from_millis(10);

/// What the balancer is told of this endpoint.
pub(crate) fn endpoint(config: &Config, address: SocketAddr) -> Endpoint {
    Endpoint {
        service: config.service.clone(),
        instance: config.instance.clone(),
        host: address.ip().to_string(),
        port: u32::from(address.port()),
        zone: config.zone.clone(),
    }
}

/// Holds a lease, and renews it, until `withdrawn` turns true; whatever the balancer does, this only tries again.
pub(crate) async fn hold(mesh: Mesh, endpoint: Endpoint, meter: Arc<Meter>, mut withdrawn: watch::Receiver<bool>) {
    let mut backoff = BACKOFF_LEAST;
    while !*withdrawn.borrow() {
        let mut granted = false;
        match lease(&mesh, &endpoint, &meter, &mut withdrawn, &mut granted).await {
            Ok(()) => return,
            Err(status) if granted => {
                tracing::info!(error = status.message(), "the balancer's lease was lost");
                backoff = BACKOFF_LEAST;
            }
            Err(status) => tracing::debug!(error = status.message(), "the balancer gives no lease"),
        }
        tokio::select! {
            () = turned(&mut withdrawn) => return,
            () = sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MOST),
        }
    }
}

/// One lease. Ends well when it was withdrawn.
async fn lease(
    mesh: &Mesh,
    endpoint: &Endpoint,
    meter: &Meter,
    withdrawn: &mut watch::Receiver<bool>,
    granted: &mut bool,
) -> Result<(), Status> {
    let (actions, requests) = mpsc::channel(1);
    let request = |action| RegisterEndpointRequest { action: Some(action) };
    let gone = |_| Status::unavailable("the stream is closed");
    actions.send(request(Action::Register(endpoint.clone()))).await.map_err(gone)?;
    let mut client: BalancerServiceClient<Mesh> = mesh.client();
    let mut opening = pin!(client.register_endpoint(ReceiverStream::new(requests)));
    let mut grants = tokio::select! {
        () = turned(withdrawn) => {
            drop(actions);
            return withdraw(async { opening.await.map(tonic::Response::into_inner) }).await;
        }
        response = &mut opening => response?.into_inner(),
    };
    // Far away until the first grant says when.
    let mut renewal = Instant::now() + Duration::from_hours(1);
    loop {
        tokio::select! {
            () = turned(withdrawn) => {
                drop(actions);
                return withdraw(std::future::ready(Ok(grants))).await;
            }
            grant = grants.message() => {
                let grant = grant?.ok_or_else(|| Status::unavailable("the balancer ended the lease"))?;
                *granted = true;
                let ttl = grant.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or_default();
                renewal = Instant::now() + (ttl / 3).max(RENEWAL_LEAST);
            }
            () = tokio::time::sleep_until(renewal) => {
                actions.send(request(Action::Renew(meter.utilisation()))).await.map_err(gone)?;
                // The answer to this renewal sets the next one.
                renewal = Instant::now() + Duration::from_hours(1);
            }
        }
    }
}

/// After the half-close: sees the stream to its end, so that the balancer learns of a withdrawal and not of a break.
async fn withdraw(
    grants: impl Future<Output = Result<Streaming<RegisterEndpointResponse>, Status>>,
) -> Result<(), Status> {
    let ended = async {
        let mut grants = grants.await?;
        while grants.message().await?.is_some() {}
        Ok(())
    };
    timeout(WITHDRAWAL, ended).await.unwrap_or(Ok(()))
}
