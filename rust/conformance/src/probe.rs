//! The procedures that are more than one call.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uait_gen::echo::v1::{AwaitOutcomeRequest, Behaviour, ConverseRequest, EchoRequest, ExpandRequest};
use uait_kit::dial::Mesh;

use crate::case::Probe;
use crate::target::Target;
use crate::variables::Variables;

/// Time for what was sent to get to the server's handler, before something is done to it.
const UNDER_WAY: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) async fn perform(probe: &Probe, target: &Target, variables: &Variables) -> Result<(), String> {
    match *probe {
        Probe::Cancel { tries, within_ms } => cancel(target, variables, tries, Duration::from_millis(within_ms)).await,
        Probe::Streams { count } => streams(target, count).await,
        Probe::Drain { calls, delay_ms, within_ms, gone_ms } => {
            let [delay, within, gone] = [delay_ms, within_ms, gone_ms].map(Duration::from_millis);
            drain(target, calls, delay, within, gone).await
        }
    }
}

/// Cancels calls by dropping them, and asks the server when their handlers ended.
async fn cancel(target: &Target, variables: &Variables, tries: usize, within: Duration) -> Result<(), String> {
    let mut took = Vec::with_capacity(tries);
    for n in 0..tries {
        let call_id = variables.unique(&format!("cancel-{n}"));
        let mut client = target.echo();
        let request = timed(target.request(slow(&call_id, Duration::from_secs(20))), CALL_TIMEOUT);
        let mut call = Box::pin(client.echo(request));
        // A server under load may need longer: it has the call once another, made later, was answered.
        let beside = async {
            sleep(UNDER_WAY).await;
            let request = EchoRequest { message: "x".to_owned(), ..Default::default() };
            target.echo().echo(timed(target.request(request), CALL_TIMEOUT)).await
        };
        tokio::select! {
            ended = &mut call => return Err(format!("expected the call to wait, it ended with {ended:?}")),
            answered = beside => answered.map_err(|s| shown("a call beside it", &s))?,
        };
        drop(call);
        let cancelled = Instant::now();
        let asked = target.request(AwaitOutcomeRequest { call_id });
        let outcome =
            target.echo().await_outcome(timed(asked, CALL_TIMEOUT)).await.map_err(|s| shown("AwaitOutcome", &s))?;
        took.push(cancelled.elapsed());
        let code = outcome.into_inner().code;
        if code != "CANCELLED" {
            return Err(format!("expected the handler to end CANCELLED, it ended {code}"));
        }
    }
    took.sort();
    let median = took[took.len() / 2];
    if median > within {
        return Err(format!(
            "expected the handler to end within {within:?} of the cancellation, it took {median:?} (median)"
        ));
    }
    Ok(())
}

/// Holds all streams open at once, each answered, before any goes on.
async fn streams(target: &Target, count: usize) -> Result<(), String> {
    let open = |n: usize| async move {
        let (sender, requests) = mpsc::channel(1);
        send(&sender, format!("first {n}")).await?;
        let request = timed(target.request(ReceiverStream::new(requests)), STREAM_TIMEOUT);
        let response = target.echo().converse(request).await.map_err(|s| shown("Converse", &s))?;
        let mut responses = response.into_inner();
        let answer = responses.message().await.map_err(|s| shown("the first answer", &s))?;
        match answer {
            Some(answer) if answer.message == format!("first {n}") => Ok((n, sender, responses)),
            other => Err(format!("stream {n}: expected the first message back, got {other:?}")),
        }
    };
    let opened = try_join_all((0..count).map(open)).await?;
    let close = |(n, sender, mut responses): (usize, mpsc::Sender<ConverseRequest>, tonic::Streaming<_>)| async move {
        send(&sender, format!("second {n}")).await?;
        drop(sender);
        let answer: Option<uait_gen::echo::v1::ConverseResponse> =
            responses.message().await.map_err(|s| shown("the second answer", &s))?;
        if !answer.as_ref().is_some_and(|a| a.message == format!("second {n}") && a.index == 1) {
            return Err(format!("stream {n}: expected the second message back, got {answer:?}"));
        }
        match responses.message().await {
            Ok(None) => Ok(()),
            other => Err(format!("stream {n}: expected its end, got {other:?}")),
        }
    };
    try_join_all(opened.into_iter().map(close)).await.map(drop)
}

async fn send(sender: &mpsc::Sender<ConverseRequest>, message: String) -> Result<(), String> {
    sender
        .send(ConverseRequest { message })
        .await
        .map_err(|_| "the stream of requests was closed by the server".to_owned())
}

/// Ends the server while calls are under way, and sees that none is cut off.
async fn drain(target: &Target, calls: usize, delay: Duration, within: Duration, gone: Duration) -> Result<(), String> {
    let pid = target.pid.ok_or("the drain needs --pid")?;
    let process =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| format!("--pid {pid}: no process id"))?;
    let answered = async { try_join_all((0..calls).map(|_| answered(target, delay))).await };
    let streamed = async { try_join_all((0..calls).map(|_| streamed(target, delay))).await };
    let procedure = async {
        sleep(UNDER_WAY).await;
        let signalled = Instant::now();
        kill_process(process, Signal::TERM).map_err(|e| format!("SIGTERM to {pid}: {e}"))?;
        not_serving(target, within).await?;
        let fresh = EchoRequest { message: "while draining".to_owned(), ..Default::default() };
        let fresh = target.echo().echo(timed(target.request(fresh), CALL_TIMEOUT)).await;
        fresh.map_err(|s| shown("a new call while draining", &s))?;
        Ok::<_, String>(signalled)
    };
    let (answered, streamed, procedure) = tokio::join!(answered, streamed, procedure);
    let signalled = procedure?;
    answered?;
    streamed?;
    while is_alive(pid) {
        if signalled.elapsed() > gone {
            return Err(format!("expected the process to be gone within {gone:?} of SIGTERM, it is not"));
        }
        sleep(POLL).await;
    }
    Ok(())
}

async fn answered(target: &Target, delay: Duration) -> Result<(), String> {
    let call = target.echo().echo(timed(target.request(slow("", delay)), CALL_TIMEOUT)).await;
    call.map(drop).map_err(|s| shown("a call under way", &s))
}

async fn streamed(target: &Target, length: Duration) -> Result<(), String> {
    const INTERVAL: Duration = Duration::from_millis(100);
    let count = i32::try_from(length.as_millis() / INTERVAL.as_millis()).map_err(|e| e.to_string())? + 1;
    let interval = INTERVAL.try_into().ok();
    let request = ExpandRequest { message: "under way".to_owned(), count, interval, call_id: String::new() };
    let response = target.echo().expand(timed(target.request(request), CALL_TIMEOUT)).await;
    let mut responses = response.map_err(|s| shown("a stream under way", &s))?.into_inner();
    let mut came = 0;
    while responses.message().await.map_err(|s| shown("a stream under way", &s))?.is_some() {
        came += 1;
    }
    if came == count { Ok(()) } else { Err(format!("expected a stream of {count} messages, got {came}")) }
}

async fn not_serving(target: &Target, within: Duration) -> Result<(), String> {
    let started = Instant::now();
    let mut client: HealthClient<Mesh> = HealthClient::new(target.health());
    loop {
        let request = timed(Request::new(HealthCheckRequest::default()), CALL_TIMEOUT);
        let response = client.check(request).await.map_err(|s| shown("the health check", &s))?;
        if response.into_inner().status() == ServingStatus::NotServing {
            return Ok(());
        }
        if started.elapsed() > within {
            return Err(format!("expected NOT_SERVING within {within:?} of SIGTERM, the server still says SERVING"));
        }
        sleep(POLL).await;
    }
}

/// A zombie is gone: that nobody has asked for its exit code yet is its parent's affair.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn slow(call_id: &str, delay: Duration) -> EchoRequest {
    let behaviour = Behaviour { delay: delay.try_into().ok(), ..Default::default() };
    EchoRequest {
        message: "slow".to_owned(),
        call_id: call_id.to_owned(),
        behaviour: Some(behaviour),
        ..Default::default()
    }
}

fn timed<T>(mut request: Request<T>, timeout: Duration) -> Request<T> {
    request.set_timeout(timeout);
    request
}

fn shown(what: &str, status: &Status) -> String {
    format!("{what}: {}: {}", uait_kit::status::code_name(status.code()), status.message())
}
