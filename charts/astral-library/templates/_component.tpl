{{/*
Everything that one service has in Kubernetes. Takes its root context and its facts, which are data:
  ports      its doors beyond the ops port, by name; the Service has the same numbers
  env        variables beyond those of every service
  secrets    files that come from existing Secrets: name, flag (its variable), secret, key
  relays     whether it pulls from other relays
*/}}
{{- define "astral.component" -}}
{{- $it := dict "root" (index . 0) "facts" (index . 1) -}}
{{- range list "serviceaccount" "deployment" "service" "podmonitor" "autoscaler" "disruption" "networkpolicy" }}
{{- with include (printf "astral.%s" .) $it | trim }}
---
{{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "astral.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "astral.metadata" .root | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{- define "astral.disruption" -}}
{{- with .root.Values.podDisruptionBudget }}
{{- if .enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "astral.metadata" $.root | nindent 2 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "astral.selector" $.root | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{/* In by CPU at once, out by one pod a minute: each of them drains. */}}
{{- define "astral.autoscaler" -}}
{{- with .root.Values.autoscaling }}
{{- if .enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "astral.metadata" $.root | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "astral.fullname" $.root }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .cpuPercent }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
        - type: Pods
          value: 1
          periodSeconds: 60
{{- end }}
{{- end }}
{{- end }}

{{- define "astral.podmonitor" -}}
{{- if .root.Values.global.monitoring.podMonitor }}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "astral.metadata" .root | nindent 2 }}
spec:
  jobLabel: app.kubernetes.io/part-of
  selector:
    matchLabels:
      {{- include "astral.selector" .root | nindent 6 }}
  podMetricsEndpoints:
    - port: ops
{{- end }}
{{- end }}
