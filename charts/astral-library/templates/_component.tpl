{{/*
All Kubernetes objects of one service. Parameters: the root context, and a dictionary:
  ports      its ports for clients, by name; the Service uses the same numbers
  env        environment variables in addition to those of every service
  secrets    files from existing Secrets: name, flag (as a variable), secret, key
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

{{/* Adds pods at once, but removes only one per minute, because each of them has to drain. */}}
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
