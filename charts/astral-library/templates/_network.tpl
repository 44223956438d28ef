{{/* The Service of a component with ports for clients, and its network policy. */}}

{{- define "astral.service" -}}
{{- if .facts.ports }}
{{- with .root.Values.service }}
apiVersion: v1
kind: Service
metadata:
  {{- include "astral.metadata" $.root | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type }}
  {{- if ne .type "ClusterIP" }}
  externalTrafficPolicy: {{ .externalTrafficPolicy }}
  {{- end }}
  selector:
    {{- include "astral.selector" $.root | nindent 4 }}
  ports:
    {{- range $name, $port := $.facts.ports }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Only monitoring may connect to the ops port. The probes of the kubelet come from the node, which is always allowed. */}}
{{- define "astral.networkpolicy" -}}
{{- $policy := .root.Values.global.networkPolicy -}}
{{- if $policy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "astral.metadata" .root | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "astral.selector" .root | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if $policy.monitoring }}
    - from:
        {{- toYaml $policy.monitoring | nindent 8 }}
      ports:
        - port: ops
    {{- end }}
    {{- with .facts.ports }}
    - ports:
        {{- range $name, $port := . }}
        - port: {{ $name }}
        {{- end }}
      {{- with $policy.viewers }}
      from:
        - namespaceSelector: {}
          podSelector:
            matchLabels:
              {{- include "astral.family" $.root | nindent 14 }}
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  egress:
    {{- include "astral.egress" . | nindent 4 }}
{{- end }}
{{- end }}

{{/* The port of a URL: the one in the URL, or else that of its scheme. */}}
{{- define "astral.port" -}}
{{- $named := (urlParse .).host | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- $named | default (hasPrefix "https:" . | ternary "443" "80") -}}
{{- end }}

{{- define "astral.egress" -}}
{{- $global := .root.Values.global -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
- ports:
    {{- range $global.networkPolicy.backendPorts }}
    - port: {{ . }}
    {{- end }}
  {{- if $global.trial.enabled }}
  to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/part-of: astral-trial
          app.kubernetes.io/instance: {{ .root.Release.Name }}
  {{- else }}
  {{- with $global.networkPolicy.backends }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- with $global.traces.endpoint }}
- ports:
    - port: {{ include "astral.port" . }}
{{- end }}
{{- if .facts.relays }}
- to:
    - namespaceSelector: {}
      podSelector:
        matchLabels:
          {{- include "astral.family" .root | nindent 10 }}
          app.kubernetes.io/name: {{ .root.Chart.Name }}
  ports:
    - port: media
{{- end }}
{{- end }}
