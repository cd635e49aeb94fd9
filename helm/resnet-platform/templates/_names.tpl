{{- define "resnet-platform.namespace" -}}
{{- .Values.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "resnet-platform.labels" -}}
app.kubernetes.io/name: resnet-platform
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* metadata of a namespaced object: (root, name). */ -}}
{{- define "resnet-platform.metadata" -}}
name: {{ index . 1 }}
namespace: {{ include "resnet-platform.namespace" (index . 0) }}
labels:
  {{- include "resnet-platform.labels" (index . 0) | nindent 2 }}
{{- end -}}

{{- /* The smoke job, its Service and its pods' label. */ -}}
{{- define "resnet-platform.smoke" -}}
{{- printf "smoke-%s" .Release.Name | replace "." "-" | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* A string or a number as text: 1000000, not 1e+06. */ -}}
{{- define "resnet-platform.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- /* "yes" where the cluster scrapes the metrics of runs, otherwise empty. */ -}}
{{- define "resnet-platform.scraped" -}}
{{- range list "monitoring.googleapis.com/v1/PodMonitoring" "monitoring.coreos.com/v1/PodMonitor" -}}
{{- if and $.Values.monitoring.enabled ($.Capabilities.APIVersions.Has .) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Kueue serves v1beta2 from 0.14 on. */ -}}
{{- define "resnet-platform.kueue" -}}
kueue.x-k8s.io/{{ .Capabilities.APIVersions.Has "kueue.x-k8s.io/v1beta2" | ternary "v1beta2" "v1beta1" }}
{{- end -}}

{{- /* On a cluster, fails where a kind is missing. Without a cluster there is no v1/Pod, and nothing is checked. */ -}}
{{- define "resnet-platform.installed" -}}
{{- $has := .Capabilities.APIVersions -}}
{{- $kinds := dict "jobsets.jobset.x-k8s.io" (list "jobset.x-k8s.io/v1alpha2/JobSet") -}}
{{- if .Values.kueue.enabled -}}
{{- $_ := set $kinds "clusterqueues.kueue.x-k8s.io" (list "kueue.x-k8s.io/v1beta2/ClusterQueue" "kueue.x-k8s.io/v1beta1/ClusterQueue") -}}
{{- end -}}
{{- range $name, $versions := $has.Has "v1/Pod" | ternary $kinds dict -}}
{{- $served := false -}}
{{- range $versions }}{{ if $has.Has . }}{{ $served = true }}{{ end }}{{ end -}}
{{- if not $served }}{{ fail (printf "cluster: this cluster has no %s (docs/guides/install-gke.md says how to install it)" $name) }}{{ end -}}
{{- end -}}
{{- end -}}
