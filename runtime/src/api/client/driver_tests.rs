//! The driver with streams that the tests open: what a caller gave up meanwhile is not sent.
//! Knows nothing about servers: none listens anywhere here.

use chil_core::ClientId;
use chil_core::retry::Answer;
use chil_proto::v1::ProposeStreamRequest;
use tokio::sync::Semaphore;

use super::*;

type Outcome = oneshot::Receiver<Result<Executed, ClientError>>;

fn driver(exactly_once: bool) -> Driver {
    let options = ClientOptions {
        exactly_once,
        ..ClientOptions::default()
    };
    // Nobody listens there; the tests say what becomes of the stream before that is noticed.
    let targets = Targets::new(vec!["127.0.0.1:1".to_owned()], None, None);
    let (_, jobs) = mpsc::unbounded_channel();
    Driver::new(jobs, Arc::new(targets), options)
}

fn submit(driver: &mut Driver, token: u64, patience: Duration) -> Outcome {
    let (reply, outcome) = oneshot::channel();
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned();
    driver.job(Job::Submit(Submit {
        token: Token::new(token),
        payload: Bytes::from(token.to_string()),
        deadline: Instant::now() + patience,
        reply,
        room: room.expect("it has one"),
    }));
    driver.settle();
    outcome
}

/// The stream that was asked for last opens; returns what is sent on it.
fn opens(driver: &mut Driver, stream: u64) -> Vec<Bytes> {
    let (requests, mut sent) = mpsc::channel::<ProposeStreamRequest>(16);
    driver.links.take(Event::Opened {
        stream,
        requests,
        cluster: Bytes::new(),
    });
    driver.settle();
    let next = || sent.try_recv().ok();
    let payload = |message: ProposeStreamRequest| message.request.unwrap_or_default().payload;
    std::iter::from_fn(next).map(payload).collect()
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_was_given_up_before_its_stream_opened_is_not_sent() {
    for exactly_once in [false, true] {
        let mut driver = driver(exactly_once);
        let mut given_up = submit(&mut driver, 1, LONG);
        let mut wanted = submit(&mut driver, 2, LONG);
        if exactly_once {
            let client = ClientId::new(7);
            let result = Answer::Registered { client };
            driver.links.take(Event::Registered { id: 1, result });
            driver.settle();
        }
        driver.job(Job::GiveUp(Token::new(1)));
        driver.settle();
        let outcome = given_up.try_recv();
        assert!(
            matches!(outcome, Ok(Err(ClientError::Unavailable { .. }))),
            "surely not executed, {outcome:?}"
        );
        assert_eq!(opens(&mut driver, 1), ["2"], "exactly once: {exactly_once}");
        assert!(wanted.try_recv().is_err(), "it is under way");
        // Once sent, nobody can say that it is not executed.
        driver.job(Job::GiveUp(Token::new(2)));
        driver.settle();
        let outcome = wanted.try_recv();
        assert!(
            matches!(outcome, Ok(Err(ClientError::Unknown { .. }))),
            "{outcome:?}"
        );
    }
}

/// The time of one is over, and the others go on waiting for the same stream.
#[tokio::test(start_paused = true)]
async fn what_ran_out_of_time_before_its_stream_opened_is_not_sent() {
    let mut driver = driver(false);
    let mut hasty = submit(&mut driver, 1, Duration::from_millis(10));
    let mut patient = submit(&mut driver, 2, LONG);
    tokio::time::advance(Duration::from_millis(20)).await;
    driver.wake();
    driver.settle();
    let outcome = hasty.try_recv();
    assert!(
        matches!(outcome, Ok(Err(ClientError::Unavailable { .. }))),
        "{outcome:?}"
    );
    assert_eq!(opens(&mut driver, 1), ["2"]);
    assert!(patient.try_recv().is_err(), "it is under way");
}
