//! The charts against the programs: every value that becomes a flag is one, and schemas are closed and up to date.
//!
//! With `ASTRAL_WRITE_SCHEMAS=1` the schemas are written anew.

use clap::{Args, Command};
use serde_json::{Map, Value, json};
use std::any::TypeId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Flags that the charts set themselves, or take from a Secret.
const SET_BY_CHARTS: &[&str] = &[
    "advertise",
    "allow-plaintext",
    "api-tokens-file",
    "bus-url",
    "http-listen",
    "log-format",
    "media-listen",
    "name",
    "ops-listen",
    "public-url",
    "rtmp-listen",
    "state-url",
    "streams-file",
    "ticket-key-file",
];
/// What a flag takes beyond its type, where its parser alone knows.
const NARROWER: &[(&str, &str)] = &[
    (
        "cache-mib",
        r#"{"type": "integer", "minimum": 1, "maximum": 65536}"#,
    ),
    ("role", r#"{"enum": ["auto", "node", "supernode"]}"#),
    (
        "shutdown-grace-seconds",
        r#"{"type": "integer", "minimum": 0, "maximum": 3600}"#,
    ),
];
const UMBRELLA: &str = "astral";

fn program<Service: Args>(name: &'static str) -> (&'static str, Command) {
    let command = astral_chassis::Config::augment_args(Command::new(name));
    (
        name,
        Service::augment_args(astral_backend::Config::augment_args(command)),
    )
}

fn programs() -> [(&'static str, Command); 5] {
    [
        program::<astral_directory::Config>("directory"),
        program::<astral_media_forwarder::Config>("media-forwarder"),
        program::<astral_rest_gateway::Config>("rest-gateway"),
        program::<astral_supernode_coordinator::Config>("supernode-coordinator"),
        program::<astral_ticket_broker::Config>("ticket-broker"),
    ]
}

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The keys at the top of a chart's values, in order.
fn top_keys(chart: &str) -> Vec<String> {
    let values = read(&charts().join(chart).join("values.yaml"));
    let is_key = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let keys = values
        .lines()
        .filter(is_key)
        .filter_map(|line| line.split_once(':'));
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// What `config` may hold: each flag with its type, its default and its help.
fn config_schema(command: &Command) -> Value {
    let mut properties = Map::new();
    for flag in command.get_arguments() {
        let Some(name) = flag.get_long().filter(|name| !SET_BY_CHARTS.contains(name)) else {
            continue;
        };
        let mut property = value_schema(flag);
        property["description"] =
            json!(flag.get_help().map(ToString::to_string).unwrap_or_default());
        properties.insert(name.to_owned(), property);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn value_schema(flag: &clap::Arg) -> Value {
    let narrower = NARROWER
        .iter()
        .find(|(name, _)| flag.get_long() == Some(name));
    if let Some((_, schema)) = narrower {
        return serde_json::from_str(schema).expect("it is JSON");
    }
    let parser = flag.get_value_parser();
    let is = |type_id: TypeId| parser.type_id() == type_id;
    let numbers = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
    ];
    let possible: Vec<_> = flag
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    match () {
        () if is(TypeId::of::<bool>()) => json!({"type": "boolean"}),
        () if numbers.into_iter().any(is) => json!({"type": "integer", "minimum": 0}),
        () if possible.is_empty() => json!({"type": "string"}),
        () => json!({"enum": possible}),
    }
}

fn schema(chart: &str, command: Option<&Command>) -> Value {
    let common: Map<String, Value> =
        serde_json::from_str(&read(&charts().join("common.schema.json"))).expect("it is JSON");
    let mut properties = Map::new();
    // Helm gives each chart a place for its library.
    properties.insert("astral-library".to_owned(), json!({"type": "object"}));
    for key in top_keys(chart) {
        let known = || {
            common
                .get(&key)
                .unwrap_or_else(|| panic!("common.schema.json lacks {key}"))
                .clone()
        };
        let property = if key == "config" {
            command.map(config_schema)
        } else {
            None
        };
        properties.insert(key.clone(), property.unwrap_or_else(known));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": chart,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "definitions": common["definitions"],
    })
}

fn check_schema(chart: &str, command: Option<&Command>) {
    let path = charts().join(chart).join("values.schema.json");
    let made = serde_json::to_string_pretty(&schema(chart, command)).expect("it is JSON") + "\n";
    if std::env::var_os("ASTRAL_WRITE_SCHEMAS").is_some() {
        std::fs::write(&path, &made).expect("the schema can be written");
    }
    let advice = "flags have changed: make chart-schemas";
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == made,
        "{}: {advice}",
        path.display()
    );
}

#[test]
fn schemas_know_every_flag_and_nothing_else() {
    for (chart, command) in programs() {
        check_schema(chart, Some(&command));
    }
    check_schema(UMBRELLA, None);
}

#[test]
fn flags_that_charts_set_are_flags() {
    let programs = programs();
    let known: BTreeSet<_> = programs
        .iter()
        .flat_map(|(_, command)| command.get_arguments())
        .filter_map(clap::Arg::get_long)
        .collect();
    let unknown: Vec<_> = SET_BY_CHARTS
        .iter()
        .filter(|flag| !known.contains(*flag))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} are flags of no program");
}

/// Every `ASTRAL_…` that the templates of a chart name.
fn variables(chart: &str) -> BTreeSet<String> {
    let templates =
        std::fs::read_dir(charts().join(chart).join("templates")).expect("a chart has templates");
    let mut found = BTreeSet::new();
    for file in templates {
        let text = read(&file.expect("a folder can be read").path());
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        found.extend(
            words
                .filter(|word| word.len() > "ASTRAL_".len() && word.starts_with("ASTRAL_"))
                .map(str::to_owned),
        );
    }
    found
}

#[test]
fn variables_that_templates_set_are_those_of_the_program() {
    let of_all = variables("astral-library");
    assert!(of_all.len() >= 4, "the library sets {of_all:?}");
    for (chart, command) in programs() {
        let known: BTreeSet<_> = command
            .get_arguments()
            .filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned()))
            .collect();
        let set = of_all
            .union(&variables(chart))
            .cloned()
            .collect::<BTreeSet<_>>();
        let unknown: Vec<_> = set.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "chart {chart} sets {unknown:?}, which astral-{chart} does not read"
        );
    }
}

/// The block of `values.yaml` that all charts share.
fn global(chart: &str) -> String {
    let values = read(&charts().join(chart).join("values.yaml"));
    values
        .split_once("\nglobal:\n")
        .map(|(_, global)| global.to_owned())
        .expect("it ends with `global`")
}

#[test]
fn all_charts_share_one_block_of_global_values() {
    for (chart, _) in programs() {
        assert_eq!(global(chart), global(UMBRELLA), "{chart}");
    }
}
