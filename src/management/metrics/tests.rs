//! The pages, and what is asked of them.

use super::*;
use crate::server::BrokerMetrics;
use ledgermq_storage::StoreStatus;

/// Names that the panels of RabbitMQ's dashboards ask for, one a line; `#` begins a comment.
const DASHBOARD_NAMES: &str = include_str!("dashboard_names.txt");

#[test]
fn each_name_on_the_dashboards_is_on_the_page() {
    let metrics = BrokerMetrics {
        store: Some(StoreStatus::default()),
        files: crate::server::OpenFiles::now(),
        ..BrokerMetrics::default()
    };
    let mut page = Page::new(PREFIX);
    node::node(&mut page, &metrics);
    node::churn(&mut page, &metrics);
    node::logins(&mut page, &metrics);
    node::store(&mut page, &metrics);
    node::confirms(&mut page, &metrics);
    sums::objects(&mut page, &metrics);
    sums::messages(&mut page, &metrics.figures);
    let text = page.finish();
    let shown: std::collections::BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let asked = DASHBOARD_NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Who the node is needs a broker that runs: tests/broker.rs.
    let missing: Vec<_> = asked.filter(|name| !name.ends_with("_info") && !shown.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_family_is_on_a_page_once() {
    let metrics = BrokerMetrics { store: Some(StoreStatus::default()), ..BrokerMetrics::default() };
    let mut page = Page::new(PREFIX);
    node::node(&mut page, &metrics);
    node::churn(&mut page, &metrics);
    node::logins(&mut page, &metrics);
    node::store(&mut page, &metrics);
    node::confirms(&mut page, &metrics);
    sums::objects(&mut page, &metrics);
    sums::messages(&mut page, &metrics.figures);
    let text = page.finish();
    let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count);
}

#[test]
fn what_is_not_known_is_not_said() {
    let mut page = Page::new(PREFIX);
    node::node(&mut page, &BrokerMetrics::default());
    node::store(&mut page, &BrokerMetrics::default());
    let text = page.finish();
    assert!(!text.contains("wal_durable") && !text.contains("open_fds"), "{text}");
}

#[tokio::test]
async fn a_page_is_made_for_who_waits_and_not_for_too_many() {
    static TURNS: Turns = Turns::new();
    let ask = || sent(&TURNS, async |_sink| std::future::pending().await);
    let waiting: Vec<_> = (0..METRICS_PAGES_MAX + METRICS_WAITING_MAX).map(|_| ask()).collect();
    assert!(waiting.iter().all(|response| response.status() == StatusCode::OK));
    assert_eq!(ask().status(), StatusCode::SERVICE_UNAVAILABLE);
    // Who goes leaves its place, whether its page was begun or not.
    drop(waiting);
    let all = u32::try_from(METRICS_PAGES_MAX + METRICS_WAITING_MAX).unwrap();
    drop(TURNS.asked_for.acquire_many(all).await.unwrap());
    assert_eq!(ask().status(), StatusCode::OK);
}
