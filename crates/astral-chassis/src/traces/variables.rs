//! The environment variables of traces (OpenTelemetry's specification). The library itself reads
//! those of headers, sampler, limits and resource attributes.

use std::env;

/// The only protocol that is supported.
const PROTOCOL: &str = "http/protobuf";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Tracing is on: a variable names a collector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variables {
    /// Whether the collector uses TLS.
    pub(super) is_secure: bool,
    /// Whether the service's name is given.
    pub(super) names_service: bool,
}

impl Variables {
    /// None if tracing is off.
    ///
    /// # Errors
    /// Names the variable with an unsupported value, and what it accepts.
    pub(super) fn read() -> Result<Option<Self>, String> {
        Self::from(|name| env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        // An empty variable counts as not set.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let first = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| variable(name).map(|value| (name, value)))
        };
        let is_disabled =
            variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let is_none = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let endpoint = first([
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]);
        let Some((name, endpoint)) = endpoint.filter(|_| !is_disabled && !is_none) else {
            return Ok(None);
        };
        let is_secure = endpoint.starts_with("https://");
        if !is_secure && !endpoint.starts_with("http://") {
            return Err(format!("{name} takes http://… and https://…"));
        }
        let protocol = first([
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]);
        if let Some((name, other)) = protocol.filter(|(_, protocol)| protocol != PROTOCOL) {
            return Err(format!("{name} takes {PROTOCOL}, not {other:?}"));
        }
        let sampler = variable("OTEL_TRACES_SAMPLER");
        if let Some(other) = sampler.filter(|sampler| !SAMPLERS.contains(&sampler.as_str())) {
            return Err(format!(
                "OTEL_TRACES_SAMPLER takes {}, not {other:?}",
                SAMPLERS.join(", ")
            ));
        }
        let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let is_attribute = attributes
            .split(',')
            .any(|pair| pair.trim_start().starts_with("service.name="));
        let names_service = is_attribute || variable("OTEL_SERVICE_NAME").is_some();
        Ok(Some(Self {
            is_secure,
            names_service,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn read(variables: &[(&str, &str)]) -> Result<Option<Variables>, String> {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name);
        Variables::from(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_traced_unless_a_collector_is_named() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        assert_eq!(read(&[COLLECTOR, ("OTEL_SDK_DISABLED", "True")]), Ok(None));
        assert_eq!(
            read(&[COLLECTOR, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(None)
        );
        let plain = Variables {
            is_secure: false,
            names_service: false,
        };
        assert_eq!(read(&[COLLECTOR]), Ok(Some(plain)));
    }

    #[test]
    fn the_endpoint_of_traces_goes_before_that_of_all_signals() {
        let secure = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "https://collector/v1/traces",
        );
        assert_eq!(
            read(&[COLLECTOR, secure])
                .unwrap()
                .map(|read| read.is_secure),
            Some(true)
        );
    }

    #[test]
    fn a_service_name_may_stand_in_either_variable() {
        for (name, value) in [
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=mine"),
        ] {
            assert!(
                read(&[COLLECTOR, (name, value)])
                    .unwrap()
                    .unwrap()
                    .names_service,
                "{name}"
            );
        }
        let other = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment=production",
        );
        assert!(!read(&[COLLECTOR, other]).unwrap().unwrap().names_service);
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ] {
            let why = read(&[COLLECTOR, (name, value)]).unwrap_err();
            assert!(why.starts_with(&format!("{name} takes ")), "{why}");
        }
    }
}
