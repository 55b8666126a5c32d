//! The automata of a client's driver, with sessions or without, behind one face.
//! Knows nothing about streams, nor about who waits for what.

use bytes::Bytes;
use chil_core::retry::{AttemptId, RetryClient, RetryInput};
use chil_core::{Time, Token};

use super::ClientError;
use super::links::{Address, Result};
use super::plain::Plain;

/// Names an attempt: its lane, and what that calls it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) lane: usize,
    pub(super) attempt: Attempt,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    Session(AttemptId),
    Plain(Token),
}

/// An automaton, and when it wants to be woken.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) automaton: Automaton,
    pub(super) wake: Time,
    /// It was told something, and not yet asked what follows.
    pub(super) told: bool,
}

type Session = RetryClient<Address, ClientError>;

#[derive(Debug)]
pub(super) enum Automaton {
    Session(Box<Session>),
    Plain(Box<Plain>),
}

impl Automaton {
    pub(super) fn submit(&mut self, now: Time, token: Token, payload: Bytes, deadline: Time) {
        match self {
            Self::Session(session) => tell(
                session,
                now,
                RetryInput::Submit {
                    token,
                    payload,
                    deadline,
                },
            ),
            Self::Plain(plain) => plain.submit(now, token, payload, deadline),
        }
    }

    /// The attempt at a command that may wait for its answer.
    pub(super) fn attempt_of(&self, token: Token) -> Option<Attempt> {
        match self {
            Self::Session(session) => session.attempt_of(token).map(Attempt::Session),
            Self::Plain(_) => Some(Attempt::Plain(token)),
        }
    }

    /// Nobody waits for the command any more; its attempt under way was taken back before it was
    /// sent, or not.
    pub(super) fn give_up(&mut self, now: Time, token: Token, is_taken: bool) {
        match (self, is_taken) {
            (Self::Session(session), true) => tell(session, now, RetryInput::Withdraw { token }),
            (Self::Session(session), false) => tell(session, now, RetryInput::GiveUp { token }),
            (Self::Plain(plain), true) => plain.withdraw(token),
            (Self::Plain(plain), false) => plain.give_up(token),
        }
    }

    pub(super) fn answered(&mut self, now: Time, attempt: Attempt, answer: Result) {
        match (self, attempt) {
            (Self::Session(session), Attempt::Session(attempt)) => {
                tell(session, now, RetryInput::Answered { attempt, answer });
            }
            (Self::Plain(plain), Attempt::Plain(token)) => plain.answered(now, token, answer),
            (Self::Session(_), Attempt::Plain(_)) | (Self::Plain(_), Attempt::Session(_)) => {
                unreachable!("a lane's attempts are of its own kind")
            }
        }
    }

    pub(super) fn wake(&mut self, now: Time) {
        match self {
            Self::Session(session) => tell(session, now, RetryInput::Wake),
            Self::Plain(plain) => plain.wake(now),
        }
    }
}

fn tell(session: &mut Session, now: Time, input: RetryInput<Address, ClientError>) {
    let taken = session.handle(now, input);
    taken.expect("a client numbers its commands, and submits one again only when it has ended");
}
