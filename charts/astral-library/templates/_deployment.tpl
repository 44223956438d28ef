{{/* The pods of a service. */}}

{{- define "astral.deployment" -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "astral.metadata" .root | nindent 2 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "astral.selector" .root | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "astral.labels" .root | nindent 8 }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "9090"
        prometheus.io/path: /metrics
    spec:
      {{- include "astral.pod" . | nindent 6 }}
{{- end }}

{{/* Termination: the pod is removed from its Service, then told to stop, then drains. */}}
{{- define "astral.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "astral.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- $grace := index $values.config "shutdown-grace-seconds" }}
terminationGracePeriodSeconds: {{ add $values.preStopSeconds $grace 10 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $values.global.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "astral.selector" $.root | nindent 8 }}
  {{- end }}
containers:
  - name: {{ .root.Chart.Name }}
    {{- include "astral.container" . | nindent 4 }}
{{- with .facts.secrets }}
volumes:
  {{- range . }}
  - name: {{ .name }}
    secret:
      secretName: {{ .secret }}
      items:
        - key: {{ .key }}
          path: {{ .key }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Liveness depends on nothing else. Readiness is not withdrawn, so an outage of bus or state restarts no pod and removes none from its Service. */}}
{{- define "astral.container" -}}
{{- $values := .root.Values -}}
image: {{ include "astral.image" .root }}
imagePullPolicy: {{ $values.global.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  {{- include "astral.env" . | nindent 2 }}
ports:
  - name: ops
    containerPort: 9090
  {{- range $name, $port := .facts.ports }}
  - name: {{ $name }}
    containerPort: {{ $port }}
  {{- end }}
livenessProbe:
  httpGet:
    path: /livez
    port: ops
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: ops
  periodSeconds: 1
  failureThreshold: 2
{{- with $values.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ . }}
{{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
{{- with .facts.secrets }}
volumeMounts:
  {{- range . }}
  - name: {{ .name }}
    mountPath: /etc/astral/{{ .name }}
    readOnly: true
  {{- end }}
{{- end }}
{{- end }}
