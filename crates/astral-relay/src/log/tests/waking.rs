//! Which readers an append wakes.

use super::*;

#[tokio::test]
async fn readers_of_pictures_are_woken_once_per_append() {
    let log = holding(0..1);
    let mut pictures = log.watch_pictures();
    log.append([start(1), frame(1, 0), frame(1, 1)]).unwrap();
    assert!(pictures.has_changed().unwrap());
    pictures.borrow_and_update();
    log.append([start(1)]).unwrap();
    assert!(!pictures.has_changed().unwrap(), "nothing new wakes nobody");
}

#[tokio::test(start_paused = true)]
async fn economical_readers_are_woken_about_ten_times_a_second_and_always_at_the_end() {
    let log = Log::new(64 << 20);
    log.append([start(1)]).unwrap();
    let mut batches = log.watch_batches();
    let mut woken = Vec::new();
    for number in 0..30 {
        log.append([frame(1, number)]).unwrap();
        if batches.has_changed().unwrap() {
            batches.mark_unchanged();
            woken.push(number);
        }
        tokio::time::advance(Duration::from_micros(33_333)).await;
    }
    assert_eq!(woken, (0..30).step_by(3).collect::<Vec<_>>());
    log.end();
    assert!(batches.has_changed().unwrap());
}
