//! Another program reads our log: what we stored is what cqrs-es means by events.

#[tokio::test]
#[ignore = "reads the database that DATABASE_URL names; tests of the workspace run it on one they made"]
async fn stock_postgres_es_reads_and_folds_every_stream() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a database of Optare ID");
    let counts = oracle::read_every_stream(&url).await.unwrap_or_else(|error| panic!("{error}"));
    for count in &counts {
        println!("{}: {} streams, {} events", count.aggregate_type, count.streams, count.events);
    }
    assert!(counts.iter().any(|count| count.events > 0), "an empty log proves nothing");
}
