{{/* Names and labels. A component has the name of its chart, its image and its folder in services/. */}}

{{- define "astral.fullname" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "astral.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of all pods of Astral, in any release: relays may be a release of their own. */}}
{{- define "astral.family" -}}
app.kubernetes.io/part-of: astral
{{- end }}

{{- define "astral.labels" -}}
{{ include "astral.selector" . }}
app.kubernetes.io/component: {{ .Chart.Name }}
app.kubernetes.io/part-of: astral
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "astral.metadata" -}}
name: {{ include "astral.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "astral.labels" . | nindent 2 }}
{{- end }}

{{- define "astral.image" -}}
{{- $image := .Values.global.image -}}
{{ $image.registry }}/{{ .Chart.Name }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* URLs of bus and state: those of the trial, unless others are given. */}}
{{- define "astral.bus-url" -}}
{{ .Values.global.trial.enabled | ternary (printf "nats://%s-nats:4222" .Release.Name) .Values.global.bus.url }}
{{- end }}

{{- define "astral.state-url" -}}
{{ .Values.global.trial.enabled | ternary (printf "redis://%s-redis:6379" .Release.Name) .Values.global.state.url }}
{{- end }}
