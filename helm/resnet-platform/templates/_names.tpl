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

{{- /* The version of Kueue's API: the one of the values, or the newest that the cluster serves. Kueue has v1beta2 since 0.15. */ -}}
{{- define "resnet-platform.kueue" -}}
{{- $has := .Capabilities.APIVersions -}}
{{- $served := and ($has.Has "kueue.x-k8s.io/v1beta1") (not ($has.Has "kueue.x-k8s.io/v1beta2")) | ternary "v1beta1" "v1beta2" -}}
kueue.x-k8s.io/{{ .Values.kueue.apiVersion | default $served }}
{{- end -}}

{{- /* The same for a Topology: (root, version of the other kinds). Kueue before 0.14 has it in v1alpha1 only. */ -}}
{{- define "resnet-platform.topologyApi" -}}
{{- $has := (index . 0).Capabilities.APIVersions -}}
{{- $old := and ($has.Has "kueue.x-k8s.io/v1alpha1/Topology") (not ($has.Has (print (index . 1) "/Topology"))) -}}
{{- $old | ternary "kueue.x-k8s.io/v1alpha1" (index . 1) -}}
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
