//! A provider never promises more than it has, in whatever order messages come.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Offer { kbps: u32, standby: bool },
    Confirm(usize),
    Cancel(usize),
    Activate(usize),
    Hold(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6_000u32, any::<bool>()).prop_map(|(kbps, standby)| Step::Offer { kbps, standby }),
        2 => any::<usize>().prop_map(Step::Confirm),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Activate),
        2 => any::<usize>().prop_map(Step::Hold),
        1 => (0..4_000u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn no_order_of_steps_oversells(
        steps in steps(),
        limit in 1_000..30_000u32,
        viewers in 0..5_000u32,
    ) {
        let child = NodeId::random();
        let mut now = 1u64;
        let mut ids = Vec::new();
        let mut ledger = ledger(limit);
        ledger.viewer_kbps = Kbps::new(viewers);
        for step in steps {
            ledger.heard_at = ms(now);
            let used_before = ledger.used_kbps();
            let of = |index: usize| ids.get(index % ids.len().max(1)).copied();
            match step {
                Step::Offer { kbps, standby } => {
                    let id = TicketId::random();
                    let entry = Entry { kbps: Kbps::new(kbps), ..entry(child, standby, now) };
                    if ledger.offer(id, entry, at(now)).is_ok() {
                        ids.push(id);
                        prop_assert!(standby || ledger.used_kbps() <= Kbps::new(limit));
                    }
                }
                Step::Confirm(index) => { of(index).map(|id| ledger.confirm(id, child, ms(now))); }
                Step::Cancel(index) => { of(index).map(|id| ledger.cancel(id, child, child, ms(now))); }
                Step::Activate(index) => { of(index).map(|id| ledger.activate(id, child, ms(now))); }
                Step::Hold(index) => {
                    of(index).map(|id| renew_held(&mut ledger, &flowing(&[id]), child, ms(now)));
                }
                Step::Wait(millis) => { now += millis; ledger.remove_expired(ms(now), false); }
            }
            let most = Kbps::new(limit + limit / 4);
            prop_assert!(ledger.used_kbps() <= most.max(used_before).max(Kbps::new(viewers)));
        }
        let is_within = |entry: &&Entry| !entry.standby && entry.over_until.is_none();
        let within = ledger.tickets.values().filter(is_within);
        let never_over: Kbps = within.map(|entry| entry.kbps).sum();
        prop_assert!(never_over + Kbps::new(viewers) <= Kbps::new(limit.max(viewers)));
    }
}
