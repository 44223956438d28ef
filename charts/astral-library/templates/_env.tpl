{{/* The settings of a service, as environment variables. The names in `config` are the names of flags. */}}

{{- define "astral.env" -}}
{{- $values := .root.Values -}}
- name: ASTRAL_OPS_LISTEN
  value: 0.0.0.0:9090
- name: ASTRAL_LOG_FORMAT
  value: json
{{ include "astral.url" (dict "variable" "ASTRAL_BUS_URL" "from" $values.global.bus "url" (include "astral.bus-url" .root)) }}
{{ include "astral.url" (dict "variable" "ASTRAL_STATE_URL" "from" $values.global.state "url" (include "astral.state-url" .root)) }}
{{- with $values.global.traces.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .facts.env }}
{{ toYaml . }}
{{- end }}
{{- range .facts.secrets }}
- name: {{ .flag }}
  value: /etc/astral/{{ .name }}/{{ .key }}
{{- end }}
{{- range $flag, $value := $values.config }}
- name: {{ include "astral.variable" $flag }}
  value: {{ include "astral.plain" $value | quote }}
{{- end }}
{{- end }}

{{- define "astral.variable" -}}
ASTRAL_{{ . | upper | replace "-" "_" }}
{{- end }}

{{/* Helm reads whole numbers as floating-point numbers and would write 1e+06. */}}
{{- define "astral.plain" -}}
{{ kindIs "float64" . | ternary (int64 .) . }}
{{- end }}

{{/* A URL that may contain a password: from an existing Secret if one is named. */}}
{{- define "astral.url" -}}
- name: {{ .variable }}
{{- if .from.existingSecret.name }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.existingSecret.name }}
      key: {{ .from.existingSecret.key }}
{{- else }}
  value: {{ .url | quote }}
{{- end }}
{{- end }}
