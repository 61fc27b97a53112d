//! The rate limits of the REST edge, of two nodes with one Redis: one budget for both while it is
//! there; each its own, and nobody refused for it, when it is not.

use crate::cluster::{Cluster, cluster_of, figure};
use crate::redis_server::{self, Redis};

const BURST: u32 = 12;

/// Two nodes that give each key so many requests, and hardly any more while the test runs.
async fn two(redis: &Redis) -> Option<Cluster> {
    let settings = [
        ("CONVOKE_REQUESTS_BURST", BURST.to_string()),
        ("CONVOKE_REQUESTS_PER_MINUTE", "1".to_owned()),
        ("CONVOKE_AUTH_FAILURES_PER_MINUTE", "4".to_owned()),
    ];
    let url = format!("redis://127.0.0.1:{}", redis.port);
    cluster_of(2, &settings, |_, database| (database, url.clone())).await
}

async fn left(cluster: &Cluster, node: usize) -> (u16, u32) {
    let response = cluster.nodes[node].rest.api("GET", "/meetings", None).await.unwrap();
    assert_eq!(response.header("x-ratelimit-limit"), Some(BURST.to_string().as_str()));
    assert!(response.header("x-ratelimit-reset").unwrap().parse::<u64>().unwrap() > 0);
    (response.status, response.header("x-ratelimit-remaining").unwrap().parse().unwrap())
}

/// What a key is told that asks the nodes by turns until nothing is left, and once more each; and what
/// somebody is told who guesses. None where a node had to decide alone, as on a machine that is busy.
async fn told(cluster: &Cluster) -> Option<(Vec<(u16, u32)>, Vec<u16>)> {
    let (mut budgets, mut guesses) = (Vec::new(), Vec::new());
    for number in 0..BURST + 2 {
        budgets.push(left(cluster, usize::from(number % 2 == 0)).await);
    }
    for number in 0..6 {
        let headers = [("authorization", "Bearer nonsense")];
        let node = &cluster.nodes[number % 2];
        guesses.push(node.rest.send("GET", "/api/v1/meetings", &headers, None).await.unwrap().status);
    }
    for node in &cluster.nodes {
        if figure(node, "convoke_limits_alone_total").await > 0 {
            return None;
        }
    }
    Some((budgets, guesses))
}

#[tokio::test]
async fn two_nodes_have_one_budget() {
    if !redis_server::is_here(6) {
        return;
    }
    for _ in 0..5 {
        let redis = Redis::new(&["--save", ""]);
        let Some(cluster) = two(&redis).await else { return };
        let Some((budgets, guesses)) = told(&cluster).await else { continue };
        let mut expected: Vec<(u16, u32)> = (0..BURST).rev().map(|left| (200, left)).collect();
        expected.extend([(429, 0), (429, 0)]);
        assert_eq!(budgets, expected);
        assert_eq!(guesses, [401, 401, 401, 401, 429, 429], "they come from one address");
        // What stands in Redis goes by itself, and names nobody but the tenant.
        let keys = redis.ask(&["keys", "*"]);
        assert_eq!(keys.lines().count(), 2, "{keys}");
        for key in keys.lines() {
            assert!(key.starts_with("convoke:limit:"), "{key}");
            assert!(!key.contains("load") && !key.contains("127.0.0.1"), "{key}");
            assert!(redis.ask(&["pttl", key]).trim().parse::<i64>().unwrap() > 0, "{key}");
        }
        return;
    }
    panic!("the nodes never counted together for as long as it takes");
}

#[tokio::test]
async fn without_redis_each_node_limits_for_itself_and_serves() {
    if !redis_server::is_here(6) {
        return;
    }
    let mut redis = Redis::new(&["--save", ""]);
    let Some(cluster) = two(&redis).await else { return };
    for taken in 1..=4 {
        assert_eq!(left(&cluster, 0).await, (200, BURST - taken));
    }
    // It hangs: the node goes on from the four that it saw.
    redis.signal("-STOP");
    for taken in 5..=7 {
        assert_eq!(left(&cluster, 0).await, (200, BURST - taken));
    }
    // It is gone.
    redis.kill();
    for taken in 8..=BURST {
        assert_eq!(left(&cluster, 0).await, (200, BURST - taken));
    }
    assert_eq!(left(&cluster, 0).await, (429, 0));
    // The other node saw none of them.
    assert_eq!(left(&cluster, 1).await, (200, BURST - 1));
    // It is back, and empty: the node that was spent counts together with the others again.
    redis.run_again();
    let began = std::time::Instant::now();
    while left(&cluster, 0).await.0 != 200 {
        assert!(began.elapsed().as_secs() < 30, "the node went on alone");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
