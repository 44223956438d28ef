{{/* Names and labels. A component is named as its chart, its image and its folder in services. */}}

{{- define "astral.fullname" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "astral.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What all Astral pods have in common, of any release: relays may be installed apart from the services. */}}
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

{{/* Where bus and state are: those of the trial, unless others are named. */}}
{{- define "astral.bus-url" -}}
{{ .Values.global.trial.enabled | ternary (printf "nats://%s-nats:4222" .Release.Name) .Values.global.bus.url }}
{{- end }}

{{- define "astral.state-url" -}}
{{ .Values.global.trial.enabled | ternary (printf "redis://%s-redis:6379" .Release.Name) .Values.global.state.url }}
{{- end }}
