{{- define "larder.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "larder.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "larder.labels" -}}
{{ include "larder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "larder.redisSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-redis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The configuration: what the values say, and the addresses that follow from the ports. */}}
{{- define "larder.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $addresses := dict "listen" "0.0.0.0:8080" "upstream" (printf "http://127.0.0.1:%v" .Values.app.port) "admin" "0.0.0.0:9090" -}}
{{- if .Values.redis.enabled -}}
{{- $_ := set $addresses "store" (printf "redis://%s-redis:6379/0" (include "larder.name" .)) -}}
{{- end -}}
{{- if .Values.adminTokenSecret -}}
{{- $_ := set $addresses "admin_token_file" "/etc/larder-admin/token" -}}
{{- end -}}
{{- toYaml (merge $config $addresses) -}}
{{- end }}
