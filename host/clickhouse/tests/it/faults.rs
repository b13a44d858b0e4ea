//! What an insert promises on a bad way: a relay between the client and the
//! engine loses answers, hangs and refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use canopy_batch::Sink;
use canopy_clickhouse::{ClickHouse, Disposition, Error, Retries, Target, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{batch, count, database, server};

const NOON: i64 = 1_780_000_000_000;

#[derive(Clone, Copy)]
enum Fault {
    /// ClickHouse does what it was asked, but its answer never arrives and the
    /// connection breaks.
    LoseAnswer,
    /// The same, and nothing breaks: the client waits.
    Hang,
    /// A proxy says that nobody is home, without asking ClickHouse.
    Unavailable,
}

/// A way to the engine that spoils as many answers as it is told to.
struct Relay {
    url: String,
    left: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(fault: Fault) -> Relay {
        let engine = server().await.url.replace("http://", "");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let left = Arc::new(AtomicUsize::new(0));
        let faults = Arc::clone(&left);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let engine = TcpStream::connect(&engine).await.unwrap();
                tokio::spawn(relay(client, engine, fault, Arc::clone(&faults)));
            }
        });
        Relay { url, left }
    }

    /// Spoils the next `answers`.
    fn spoil(&self, answers: usize) {
        self.left.store(answers, Ordering::SeqCst);
    }

    fn spoiled_all(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

async fn relay(client: TcpStream, engine: TcpStream, fault: Fault, left: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    let take = |left: &AtomicUsize| {
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
    };
    if matches!(fault, Fault::Unavailable) {
        let mut request = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut request).await {
            if take(&left) {
                let answer = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                let _ = to_client.write_all(answer.as_bytes()).await;
                // Read on, so that the client gets the answer and no reset.
                while let Ok(1..) = from_client.read(&mut request).await {}
                return;
            }
            to_engine.write_all(&request[..length]).await.unwrap();
            let mut answer = vec![0; 1 << 16];
            // Whatever the engine has said by now; bodies come in pieces.
            while let Ok(Ok(length @ 1..)) =
                tokio::time::timeout(Duration::from_millis(300), from_engine.read(&mut answer))
                    .await
            {
                let _ = to_client.write_all(&answer[..length]).await;
            }
        }
        return;
    }
    let asking =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_engine).await });
    let mut answer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_engine.read(&mut answer).await {
        if take(&left) {
            if matches!(fault, Fault::Hang) {
                std::future::pending::<()>().await;
            }
            break;
        }
        if to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

/// Connects through a relay to a new database.
async fn through(name: &str, fault: Fault) -> (ClickHouse, Relay) {
    database(name).await;
    let relay = Relay::start(fault).await;
    let mut server = server().await;
    server.database = name.into();
    server.url = relay.url.clone();
    let timeouts = Timeouts {
        insert: Duration::from_millis(1500),
        ..Timeouts::default()
    };
    let clickhouse = ClickHouse::connect_with(Target::Server(server), timeouts)
        .await
        .unwrap();
    (clickhouse, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_does_not_double_the_rows() {
    let (clickhouse, relay) = through("an_answer_that_was_lost", Fault::LoseAnswer).await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    relay.spoil(3);
    assert_eq!(
        sink.insert(&batch(NOON, 1, 500), "token").await.unwrap(),
        500
    );
    assert!(relay.spoiled_all(), "it was tried four times");
    assert_eq!(count(&clickhouse).await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_does_not_double_the_rows() {
    let (clickhouse, relay) = through("an_answer_that_does_not_come", Fault::Hang).await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    relay.spoil(1);
    assert_eq!(
        sink.insert(&batch(NOON, 1, 500), "token").await.unwrap(),
        500
    );
    assert!(relay.spoiled_all());
    assert_eq!(count(&clickhouse).await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_while_is_waited_for() {
    let (clickhouse, relay) = through("a_server_that_is_away", Fault::Unavailable).await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    relay.spoil(3);
    assert_eq!(sink.insert(&batch(NOON, 1, 50), "token").await.unwrap(), 50);
    assert!(relay.spoiled_all());
    assert_eq!(count(&clickhouse).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_ends_with_its_deadline_and_can_be_sent_again() {
    let (clickhouse, relay) = through("an_insert_ends_with_its_deadline", Fault::Hang).await;
    let retries = Retries {
        deadline: Duration::from_millis(800),
        ..Retries::default()
    };
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let rows = batch(NOON, 1, 50);
    relay.spoil(100);
    let started = Instant::now();
    let error = sink
        .clone()
        .with_retries(retries)
        .insert(&rows, "token")
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Retry);

    relay.spoil(0);
    sink.insert(&rows, "token").await.unwrap();
    assert_eq!(count(&clickhouse).await, 50);
}

#[tokio::test]
async fn nobody_there_is_said_and_may_be_tried_again() {
    let mut server = server().await;
    // A port that nobody listens at: taken and let go.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ClickHouse::connect(Target::Server(server))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("check that it runs"), "{error}");
    assert_eq!(error.disposition(), Disposition::Retry);
}
