//! Prometheus' text format, as far as it says which metrics there are.

use std::collections::{BTreeMap, BTreeSet};

/// What is said of one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metric {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// Labels that a kind of metric has by itself.
const OF_KIND: [&str; 2] = ["le", "quantile"];

/// The metrics in `text` by name, with all labels that any of their samples has.
pub fn read(text: &str, into: &mut BTreeMap<String, Metric>) {
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, kind) = said.split_once(' ').expect("a name and a kind");
            into.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') && !line.is_empty() {
            let (name, labels) = sample(line);
            let metric = family(name, into).unwrap_or_else(|| panic!("no kind is said of {name}"));
            metric.labels.extend(labels);
        }
    }
}

/// The metric that a sample is of: those of a histogram have names of their own.
fn family<'a>(name: &str, metrics: &'a mut BTreeMap<String, Metric>) -> Option<&'a mut Metric> {
    let suffixes = ["", "_bucket", "_sum", "_count"];
    let family = suffixes
        .into_iter()
        .filter_map(|suffix| name.strip_suffix(suffix));
    let known = family
        .into_iter()
        .find(|name| metrics.contains_key(*name))?
        .to_owned();
    metrics.get_mut(&known)
}

fn sample(line: &str) -> (&str, Vec<String>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap_or(line), Vec::new());
    };
    let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
    let names = labels
        .split("\",")
        .filter_map(|pair| pair.split_once("=\"").map(|(name, _)| name));
    (
        name,
        names
            .filter(|name| !OF_KIND.contains(name))
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
fn names_kinds_and_labels_are_read() {
    let mut metrics = BTreeMap::new();
    let text = "# TYPE a_seconds histogram\na_seconds_bucket{route=\"/{slug}\",le=\"1\"} 2\na_seconds_count{route=\"/\"} 2\n\n\
                # TYPE b gauge\nb 1\n";
    read(text, &mut metrics);
    let labels = BTreeSet::from(["route".to_owned()]);
    assert_eq!(
        metrics["a_seconds"],
        Metric {
            kind: "histogram".into(),
            labels
        }
    );
    assert_eq!(
        metrics["b"],
        Metric {
            kind: "gauge".into(),
            ..Metric::default()
        }
    );
}
