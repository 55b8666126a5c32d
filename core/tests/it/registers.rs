//! Opening sessions: proposed like a command, and limited in rate.
//! Knows nothing about what a session is for; the state machine does.

use chil_core::{EntryKind, Output, Refusal, Span, Token};

use crate::rig::Rig;

fn refusal(outputs: &[Output], of: Token) -> Option<Refusal> {
    outputs.iter().find_map(|output| match output {
        Output::Refused { token, reason } if *token == of => Some(*reason),
        _ => None,
    })
}

fn placed(outputs: &[Output]) -> usize {
    let tokens = outputs.iter().map(|output| match output {
        Output::Placed { tokens, .. } => tokens.len(),
        _ => 0,
    });
    tokens.sum()
}

#[test]
fn a_registration_is_decided_like_a_command() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    rig.outputs(leader);
    rig.register(leader, 77);
    rig.settle();
    let outputs = rig.outputs(leader);
    let is_ours = |output: &Output| {
        matches!(output, Output::Decided { entries }
            if matches!(entries[0].kind(), EntryKind::Register { nonce: 77 }))
    };
    assert_eq!(placed(&outputs), 1, "{outputs:?}");
    assert!(outputs.iter().any(is_ours), "{outputs:?}");
}

#[test]
fn only_the_leader_opens_sessions() {
    let mut rig = Rig::new(3);
    let leader = rig.run_until_led();
    let other = rig.numbers().find(|&n| n != leader).expect("three nodes");
    rig.run(Span::from_millis(300));
    let token = rig.register(other, 1);
    let hint = Some(crate::rig::id(leader));
    let refused = refusal(&rig.outputs(other), token);
    assert_eq!(refused, Some(Refusal::NotLeader { hint }));
}

/// Whoever opens sessions faster than configured waits; commands go on meanwhile.
#[test]
fn registrations_beyond_the_rate_are_refused_as_overload() {
    let rate = |config: &mut chil_core::Config| config.registers_per_second_max = 3;
    let mut rig = Rig::configured(&[1, 1, 1], rate);
    let leader = rig.run_until_led();
    rig.outputs(leader);
    let tokens: Vec<Token> = (0..5).map(|n| rig.register(leader, n)).collect();
    rig.propose(leader, "command");
    let outputs = rig.outputs(leader);
    assert_eq!(placed(&outputs), 4, "{outputs:?}");
    assert_eq!(refusal(&outputs, tokens[2]), None);
    for late in &tokens[3..] {
        assert_eq!(refusal(&outputs, *late), Some(Refusal::Overloaded));
    }
    // A third of a second earns one more.
    rig.run(Span::from_millis(340));
    rig.outputs(leader);
    let (next, last) = (rig.register(leader, 5), rig.register(leader, 6));
    let outputs = rig.outputs(leader);
    assert_eq!(refusal(&outputs, next), None);
    assert_eq!(refusal(&outputs, last), Some(Refusal::Overloaded));
}
